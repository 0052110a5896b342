//! Help is data, and its wording is a promise to newcomers: every page is a snapshot.

use crate::binary::Desk;

fn check(command: &[&str]) {
    let desk = Desk::new();
    let mut arguments = command.to_vec();
    arguments.push("--help");
    let ended = desk.run(&arguments);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    insta::assert_snapshot!(
        ["help"]
            .iter()
            .chain(command)
            .copied()
            .collect::<Vec<_>>()
            .join("_"),
        ended.out
    );
}

#[test]
fn every_command_explains_itself() {
    check(&[]);
    let commands = [
        "run",
        "plan",
        "explore",
        "merge",
        "verify",
        "enumerate",
        "scoreboard",
        "shrink",
        "show",
        "why",
        "promote",
        "replay",
        "record",
        "import",
        "inspect",
        "parity",
        "metrics",
        "serve",
        "provider",
        "legacy",
        "completions",
    ];
    for command in commands {
        check(&[command]);
    }
}

#[test]
fn no_command_at_all_is_a_usage_error_that_shows_the_help() {
    let ended = Desk::new().run(&[]);
    assert_eq!((ended.code, ended.out.as_str()), (2, ""));
    assert!(
        ended.err.contains("Usage: rehearsal <COMMAND>"),
        "{}",
        ended.err
    );
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let ended = Desk::new().run(&["completions", shell]);
        assert_eq!(ended.code, 0);
        assert!(ended.out.contains("replay"), "{shell}");
    }
}

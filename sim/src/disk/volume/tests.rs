//! One host's files, tested without SQLite: names, boots, cuts, stalls and rot.

use std::time::Duration;

use super::{super::fault::Fault, *};

fn names(volume: &Volume) -> Vec<&str> {
    volume.files().map(|(name, _)| name).collect()
}

#[test]
fn a_name_is_durable_once_its_file_was_synced() {
    let mut volume = Volume::new(&Chance::new(1));
    let synced = volume.open("synced", true, false).expect("created");
    volume.write(synced, 0, b"x").expect("written");
    volume.sync(synced).expect("synced");
    volume.write(synced, 1, b"y").expect("written");
    volume.open("fresh", true, false).expect("created");
    volume.power_loss(Loss::Everything, 0);
    assert!(volume.open("synced", false, false).is_err(), "no power");
    volume.start();
    assert_eq!(names(&volume), ["synced"]);
    assert_eq!(volume.durable("synced").expect("kept"), b"x");
    assert_eq!(volume.counters().lost_writes, 2);
}

#[test]
fn handles_of_an_earlier_boot_are_dead() {
    let mut volume = Volume::new(&Chance::new(1));
    let old = volume.open("file", true, false).expect("created");
    volume.write(old, 0, b"kept").expect("written");
    assert!(volume.lock(old, Level::Exclusive).is_ok());
    volume.kill();
    volume.start();
    let new = volume.open("file", false, false).expect("there");
    assert!(volume.lock(new, Level::Exclusive).is_ok(), "locks are void");
    assert!(volume.write(old, 0, b"lost").is_err());
    assert!(volume.sync(old).is_err());
    volume.close(old);
    let mut out = [0; 4];
    assert_eq!(volume.read(new, 0, &mut out), Ok(4));
    assert_eq!(&out, b"kept");
    assert_eq!(volume.counters().refused, 2);
}

#[test]
fn a_cut_at_an_index_fails_that_operation_and_all_after() {
    let mut volume = Volume::new(&Chance::new(1));
    let file = volume.open("file", true, false).expect("operation 0");
    volume.sync(file).expect("operation 1");
    volume.cut_power_at(3, Loss::Everything, 0);
    volume.write(file, 0, b"x").expect("operation 2");
    assert!(volume.sync(file).is_err(), "operation 3");
    assert!(!volume.is_on());
    assert!(volume.read(file, 0, &mut [0]).is_err());
    volume.start();
    let file = volume
        .open("file", false, false)
        .expect("its name is durable");
    assert_eq!(volume.file_size(file), Ok(0));
}

#[test]
fn stalls_are_owed_and_the_journal_names_what_an_index_strikes() {
    let mut volume = Volume::new(&Chance::new(1));
    volume.journal().begin();
    let file = volume.open("file", true, false).expect("created");
    let stall = volume.faults().add(Fault::Stall {
        each: Duration::from_millis(10),
    });
    volume.write(file, 0, b"x").expect("written");
    volume.sync(file).expect("synced");
    volume.read(file, 0, &mut [0]).expect("read");
    assert_eq!(volume.faults().take_owed(), Duration::from_millis(30));
    assert_eq!(volume.faults().remove(stall).struck, 3);
    volume.sync(file).expect("synced");
    assert_eq!(volume.faults().take_owed(), Duration::ZERO);
    let expected = [
        Operation::Create,
        Operation::Write,
        Operation::Sync,
        Operation::Sync,
    ];
    assert_eq!(volume.journal().entries(), expected);
    assert_eq!(volume.operations(), 4);
}

#[test]
fn rot_is_seen_by_whoever_reads_and_by_nobody_else() {
    let mut volume = Volume::new(&Chance::new(1));
    let file = volume.open("file", true, false).expect("created");
    volume.write(file, 0, &[0; 64]).expect("written");
    volume.sync(file).expect("synced");
    let rot = volume.flip(3, 9);
    assert_eq!(volume.flipped_bits_read(rot), 0);
    let mut out = [0; 64];
    volume.read(file, 0, &mut out).expect("read");
    assert_eq!(out.iter().map(|byte| byte.count_ones()).sum::<u32>(), 3);
    assert_eq!(volume.flipped_bits_read(rot), 3);
    assert_eq!(
        volume.durable("file").expect("kept"),
        out,
        "it rots where it lies"
    );
}

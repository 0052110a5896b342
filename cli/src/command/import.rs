//! `rehearsal import`: captures of any format, as one in our own; masked and filtered as asked.
//!
//! **Invariant**: the file appears under its name only when all of it is there, and an earlier one is not read again where it lies in a folder
//! of the captures; what was read is written, left out by a filter, or skipped with
//! its place, and each is counted, what was skipped in the written capture as well. With a mask, files are read twice, so that a name is found
//! in text that comes before its field; standard input and pipes cannot be, so there a name is found from its first field on, and that is said.

use std::{collections::BTreeMap, fmt::Write as _, fs};

use rehearsal_replay::{
    capture::{Exchange, Manifest, Options, Record, Stream, Writer, can_be_read_again, open_all},
    mask::{MaskCounts, MaskKey, MaskRules, Masker},
    profile::{Places, Profiler},
    rules::Rules,
};
use rehearsal_sim::interpose::purge_at_once;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::inspect::{Reading, told};
use crate::{
    artifact::Growing,
    exit::Exit,
    flags::{capture::ImportFlags, value::Format},
    interrupt::Interrupt,
    printer::Printer,
    problem::Problem,
};

/// The format's name and major version.
const FORMAT: &str = "rehearsal.import/1";

/// What became of the captures.
#[derive(Debug, Default, Serialize)]
struct Summary {
    format: &'static str,
    out: String,
    read: u64,
    written: u64,
    left_out: BTreeMap<&'static str, u64>,
    skipped: BTreeMap<String, Places>,
    #[serde(skip_serializing_if = "Option::is_none")]
    masked: Option<Masked>,
}

#[derive(Debug, Serialize)]
struct Masked {
    key_id: String,
    counts: MaskCounts,
    notes: Vec<String>,
}

/// Converts the captures.
///
/// # Errors
/// A capture, key or filter that cannot be used, captures without an exchange that is wanted, a disk that is full, or Ctrl-C.
pub(super) fn import(flags: &ImportFlags, printer: Printer) -> Result<Exit, Problem> {
    purge_at_once();
    let interrupt = Interrupt::listen()?;
    let mut masker = masker(flags)?;
    let options = Options {
        passed_over: Some(flags.out.clone()),
        ..flags.reading.options(flags.strict)
    };
    let piped = !can_be_read_again(&flags.captures)?;
    if let Some(masker) = masker.as_mut().filter(|_| !piped) {
        let mut reading = Reading::new("learning", &interrupt, printer);
        let mut stream = open_all(&flags.captures, &options)?;
        while let Some(record) = stream.next() {
            reading.tell(&stream)?;
            if let Record::Exchange(exchange) = record? {
                masker.learn(&exchange);
            }
        }
    }
    let stream = open_all(&flags.captures, &options)?;
    let (growing, mut summary) =
        convert(flags, stream, masker.as_mut(), piped, (&interrupt, printer))?;
    printer.overwrite("");
    if summary.written == 0 {
        return Err(Problem::usage(nothing(&summary)));
    }
    growing.finish()?;
    if let Some(masker) = masker {
        summary.masked = Some(masked(flags, &masker, piped)?);
    }
    printer.data(&match flags.format {
        Format::Human => summary.human(),
        Format::Json => {
            serde_json::to_string_pretty(&summary).expect("a summary is plain data") + "\n"
        }
        Format::Markdown => summary.markdown(),
    })?;
    Ok(Exit::Pass)
}

fn convert(
    flags: &ImportFlags,
    mut stream: Stream,
    mut masker: Option<&mut Masker>,
    piped: bool,
    (interrupt, printer): (&Interrupt, Printer),
) -> Result<(Growing, Summary), Problem> {
    let mut summary = Summary {
        format: FORMAT,
        out: flags.out.display().to_string(),
        ..Summary::default()
    };
    let mut reading = Reading::new("importing", interrupt, printer);
    let mut filter = Filter::new(flags);
    let mut skipped = Profiler::default();
    let manifest = Manifest::new(Some(exporter(flags, masker.as_deref_mut())?), None);
    let growing = Growing::create(&flags.out)?;
    let full = |error: std::io::Error| {
        Problem::infrastructure(format!(
            "{}: cannot be written: {error}",
            flags.out.display()
        ))
    };
    let kind = flags
        .out
        .extension()
        .and_then(|extension| extension.to_str());
    let mut writer = match kind {
        Some("gz") => Writer::gzip(growing, &manifest),
        Some("zst") => Writer::zstd(growing, &manifest),
        _ => Writer::plain(growing, &manifest),
    }
    .map_err(full)?;
    while let Some(record) = stream.next() {
        reading.tell(&stream)?;
        let mut exchange = match record? {
            Record::Exchange(exchange) => exchange,
            Record::Skipped(mut skip) => {
                if let Some(masker) = &mut masker {
                    skip.file = masker.file_name(&skip.file).into();
                }
                writer.skip(&skip);
                skipped.add(&Record::Skipped(skip));
                continue;
            }
        };
        summary.read += 1;
        if let Some(masker) = masker.as_mut().filter(|_| piped) {
            masker.learn(&exchange);
        }
        if let Some(reason) = filter.leaves_out(&exchange) {
            *summary.left_out.entry(reason).or_default() += 1;
            continue;
        }
        if let Some(masker) = &mut masker {
            masker.mask(&mut exchange);
        }
        exchange.seq = summary.written;
        writer.write(&exchange).map_err(full)?;
        summary.written += 1;
    }
    summary.skipped = skipped.finish().skipped;
    Ok((writer.finish().map_err(full)?, summary))
}

/// What of a capture is wanted.
struct Filter<'f> {
    flags: &'f ImportFlags,
    rules: Rules,
    first_ns: Option<u64>,
}

impl<'f> Filter<'f> {
    fn new(flags: &'f ImportFlags) -> Self {
        Self {
            flags,
            rules: Rules::default(),
            first_ns: None,
        }
    }

    /// Why an exchange is left out, if it is.
    fn leaves_out(&mut self, exchange: &Exchange) -> Option<&'static str> {
        let flags = self.flags;
        let request = &exchange.request;
        let first_ns = *self.first_ns.get_or_insert(exchange.ts_ns);
        let early = flags
            .since
            .is_some_and(|since| exchange.ts_ns < since.ns(first_ns));
        let late = flags
            .until
            .is_some_and(|until| exchange.ts_ns >= until.ns(first_ns));
        let other_method = !flags.method.is_empty()
            && !flags
                .method
                .iter()
                .any(|method| method.eq_ignore_ascii_case(&request.method));
        let other_path = !flags.path.is_empty()
            && !flags
                .path
                .iter()
                .any(|path| path.capture(request.path()).is_some());
        match () {
            () if early || late => Some("time"),
            () if other_method => Some("method"),
            () if other_path => Some("path"),
            () if flags
                .sample
                .is_some_and(|share| self.share(exchange) >= share) =>
            {
                Some("sample")
            }
            () => None,
        }
    }

    /// Where, from 0 to 1, the entity of a request falls: the same for all of its requests, in any capture.
    fn share(&self, exchange: &Exchange) -> f64 {
        let request = &exchange.request;
        let entity = self
            .rules
            .entity(request)
            .or_else(|| exchange.session.clone());
        let name = entity.unwrap_or_else(|| format!("{} {}", request.method, request.target));
        let digest = Sha256::digest(name.as_bytes());
        let number = digest[..4]
            .iter()
            .fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        f64::from(number) / (f64::from(u32::MAX) + 1.0)
    }
}

fn masker(flags: &ImportFlags) -> Result<Option<Masker>, Problem> {
    let Some(key) = key(flags)? else {
        return match &flags.mask_rules {
            Some(_) => Err(Problem::usage(
                "--mask-rules: found no key, expected --mask KEYFILE or --mask-env NAME",
            )),
            None => Ok(None),
        };
    };
    let rules = match &flags.mask_rules {
        None => MaskRules::shipped(),
        Some(file) => {
            let text =
                fs::read_to_string(file).map_err(|error| Problem::unreadable(file, &error))?;
            MaskRules::read(&file.to_string_lossy(), &text)
                .map_err(|error| Problem::usage(error.to_string()))?
        }
    };
    Ok(Some(Masker::new(key, rules)))
}

fn key(flags: &ImportFlags) -> Result<Option<MaskKey>, Problem> {
    let hint =
        "`openssl rand -hex 32 > key.txt` makes a key; keep it, and keep it apart from the capture";
    let (place, secret) = match (&flags.mask, &flags.mask_env) {
        (Some(file), _) => (
            file.display().to_string(),
            fs::read(file).map_err(|error| Problem::unreadable(file, &error).hint(hint))?,
        ),
        (None, Some(name)) => (
            format!("--mask-env {name}"),
            std::env::var_os(name)
                .ok_or_else(|| {
                    Problem::usage(format!(
                        "--mask-env {name}: found no such variable, expected a key in it"
                    ))
                    .hint(hint)
                })?
                .into_encoded_bytes(),
        ),
        (None, None) => return Ok(None),
    };
    let key = MaskKey::new(&secret)
        .map_err(|error| Problem::usage(format!("{place}: {error}")).hint(hint))?;
    Ok(Some(key))
}

fn masked(flags: &ImportFlags, masker: &Masker, piped: bool) -> Result<Masked, Problem> {
    let mut notes = Vec::new();
    if piped {
        notes.push(
            "standard input or a pipe was read once: a name in text before its first field was not found"
                .to_owned(),
        );
    }
    if masker.is_full() {
        notes.push(
            "more values were learned than are kept: some may be left in free text".to_owned(),
        );
    }
    Ok(Masked {
        key_id: key(flags)?.map(|key| key.id()).unwrap_or_default(),
        counts: masker.counts(),
        notes,
    })
}

/// What the capture says of its making: enough to make it again, and which key it was masked with, but for the key. Captures are often named after
/// whom they are of.
fn exporter(flags: &ImportFlags, mut masker: Option<&mut Masker>) -> Result<String, Problem> {
    let names = flags.captures.iter().map(|capture| {
        let name = capture.file_name().unwrap_or(capture.as_os_str());
        match &mut masker {
            Some(masker) => masker.file_name(&name.to_string_lossy()),
            None => name.to_string_lossy().into_owned(),
        }
    });
    let mut text = names.fold("rehearsal import".to_owned(), |text, name| {
        text + " " + &quoted(&name)
    });
    for (name, value) in flags.reading.typed() {
        let value = value.map_or_else(String::new, |value| format!(" {}", quoted(value)));
        let _ = write!(text, " {name}{value}");
    }
    let mut flag = |name: &str, value: &str| {
        let _ = write!(text, " {name} {}", quoted(value));
    };
    if !flags.method.is_empty() {
        flag("--method", &flags.method.join(","));
    }
    for path in &flags.path {
        flag("--path", path.text());
    }
    if let Some(since) = flags.since {
        flag("--since", &since.to_string());
    }
    if let Some(until) = flags.until {
        flag("--until", &until.to_string());
    }
    if let Some(share) = flags.sample {
        flag("--sample", &format!("{}%", share * 100.0));
    }
    if let Some(file) = &flags.mask_rules {
        let name = file.file_name().unwrap_or(file.as_os_str());
        flag("--mask-rules", &name.to_string_lossy());
    }
    if let Some(key) = key(flags)? {
        let _ = write!(text, ", masked with the key {}", key.id());
    }
    Ok(text)
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-.,:/+%=@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn nothing(summary: &Summary) -> String {
    let mut text = format!(
        "found {} exchanges, none of them wanted, expected one to write",
        summary.read
    );
    for (reason, count) in &summary.left_out {
        let _ = write!(text, "\n  left out by {reason}: {count}");
    }
    for (kind, places) in &summary.skipped {
        let _ = write!(
            text,
            "\n  skipped, {kind}: {}: {}",
            places.count,
            places.first.first().map_or("", String::as_str)
        );
    }
    text
}

impl Summary {
    fn rows(&self) -> Vec<(String, String)> {
        let mut rows = vec![
            ("capture".to_owned(), self.out.clone()),
            (
                "exchanges".to_owned(),
                format!("{} read, {} written", self.read, self.written),
            ),
        ];
        for (reason, count) in &self.left_out {
            rows.push(("left out".to_owned(), format!("{count} by {reason}")));
        }
        rows.extend(told(&self.skipped));
        if let Some(masked) = &self.masked {
            let MaskCounts {
                fields,
                patterns,
                learned,
                withheld,
            } = masked.counts;
            rows.push((
                "masked".to_owned(),
                format!("{fields} values of fields, {patterns} by pattern, {learned} learned; {withheld} bodies withheld; key {}", masked.key_id),
            ));
            rows.extend(
                masked
                    .notes
                    .iter()
                    .map(|note| ("note".to_owned(), note.clone())),
            );
        }
        rows
    }

    fn human(&self) -> String {
        self.rows()
            .iter()
            .fold(String::new(), |mut text, (name, value)| {
                let _ = writeln!(text, "  {name:<10} {value}");
                text
            })
    }

    fn markdown(&self) -> String {
        self.rows().iter().fold(
            "| | |\n|---|---|\n".to_owned(),
            |mut text, (name, value)| {
                let _ = writeln!(text, "| {name} | {} |", value.replace('|', "\\|"));
                text
            },
        )
    }
}

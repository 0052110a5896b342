//! What was typed after `parity`.
//!
//! **Invariant**: what may differ stands in the rule file alone; a flag says where rows are, what names them and which fields count.

use std::path::PathBuf;

use clap::Args;
use rehearsal_replay::parity::Key;

use super::value::Format;

/// `rehearsal parity`.
#[derive(Debug, Args)]
#[command(after_help = "\
A side is one of
  FILE                        JSON lines or one JSON array of rows; plain, gzip, zlib or zstd
  FILE                        a SQLite database: a table (--left-table), or a query (--left-query)
  postgres://USER@HOST/DB     a PostgreSQL database, the same
  http://HOST:PORT/PATH       a listing: an array of rows, or an object with one; all its pages
  http://HOST:PORT/PATH/{id}  one row a request, for the ids of --ids

Examples:
  rehearsal parity legacy.jsonl.gz v2.db --rules scenarios/rules/legacy-to-v2.toml --key id
  rehearsal parity old.db new.db --left-query 'SELECT ref AS id, status AS state FROM appts'
  rehearsal parity a.jsonl 'http://127.0.0.1:8080/v1/appointments/{id}' --ids a.jsonl --key id")]
pub struct ParityFlags {
    /// What is replaced; `legacy` in rules
    #[arg(value_name = "LEFT")]
    pub left: String,
    /// What replaces it; `candidate` in rules
    #[arg(value_name = "RIGHT")]
    pub right: String,
    /// Which differences are meant: the rules of a replay; those about `state` or `*` speak of rows
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// The day that rules expire against [default: this machine's, in UTC]
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub today: Option<jiff::civil::Date>,
    /// The fields that name a row: id, tenant,id, or LEFT=RIGHT where the sides differ [default: `request_id` where both sides have it, else `id`]
    #[arg(long, value_parser = Key::parse, value_name = "FIELDS")]
    pub key: Option<Key>,
    /// Compare only these top-level fields
    #[arg(long, value_delimiter = ',', value_name = "FIELDS")]
    pub columns: Vec<String>,
    /// The left database's table
    #[arg(long, default_value = "appointments", value_name = "TABLE")]
    pub left_table: String,
    /// The right database's table
    #[arg(long, default_value = "appointments", value_name = "TABLE")]
    pub right_table: String,
    /// A query whose columns are the left side's fields, instead of a table
    #[arg(long, conflicts_with = "left_table", value_name = "SQL")]
    pub left_query: Option<String>,
    /// A query whose columns are the right side's fields, instead of a table
    #[arg(long, conflicts_with = "right_table", value_name = "SQL")]
    pub right_query: Option<String>,
    /// The ids for a URL with {id}: one a line, or JSON lines whose field `id`, or else `request_id`, is taken
    #[arg(long, value_name = "FILE")]
    pub ids: Option<PathBuf>,
    /// What is printed to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Where `parity.json` and `parity_report.md` are written
    #[arg(long, default_value = "results", value_name = "DIR")]
    pub out: PathBuf,
}

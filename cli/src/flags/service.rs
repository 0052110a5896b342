//! What was typed after the commands that serve for real: `serve`, `provider`, `legacy`.
//!
//! **Invariant**: no default listens beyond loopback.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;

use super::value::{self, ProviderAddress, ProviderMode, RoleName};

/// `rehearsal serve`.
#[derive(Debug, Args)]
#[command(
    after_help = "Logs are lines of JSON on stderr. SIGTERM or Ctrl-C drains: what has begun is finished, then it exits with 0."
)]
pub struct ServeFlags {
    /// What this process does
    #[arg(long, value_enum, default_value_t)]
    pub role: RoleName,
    /// Where it listens; without authentication, on loopback only
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// The SQLite file, made where it is missing
    #[arg(long, default_value = "rehearsal.db", value_name = "PATH")]
    pub database: PathBuf,
    /// A provider and its base address, such as acme=http://127.0.0.1:9090; once for each
    #[arg(long = "provider", required = true, value_name = "NAME=URL")]
    pub providers: Vec<ProviderAddress>,
}

/// `rehearsal provider`.
#[derive(Debug, Args)]
#[command(
    after_help = "What it does to each call is a line of JSON on stderr. It keeps its bookings in memory."
)]
pub struct ProviderFlags {
    /// Where it listens
    #[arg(long, default_value = "127.0.0.1:9090", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// What is wrong with it as a whole
    #[arg(long, value_enum, default_value_t)]
    pub mode: ProviderMode,
    /// How long each answer takes
    #[arg(long, default_value = "0ms", value_parser = value::duration, value_name = "TIME")]
    pub delay: Duration,
    /// The share of calls that are answered with an error and have no effect
    #[arg(long, default_value = "0", value_parser = value::rate, value_name = "RATE")]
    pub error_rate: f64,
    /// The status of those errors
    #[arg(long, default_value_t = 503, value_parser = clap::value_parser!(u16).range(400..=599), value_name = "STATUS")]
    pub error_status: u16,
    /// The share of calls that are neither processed nor answered
    #[arg(long, default_value = "0", value_parser = value::rate, value_name = "RATE")]
    pub hang_rate: f64,
    /// The seed of its chances
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub seed: u64,
}

/// `rehearsal legacy`.
#[derive(Debug, Args)]
#[command(
    after_help = "Its log, on stderr, is free text with names in it: that is one of the defects."
)]
pub struct LegacyFlags {
    /// Where it listens
    #[arg(long, default_value = "127.0.0.1:8081", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// A provider and its base address, such as acme=http://127.0.0.1:9090; once for each
    #[arg(long = "provider", required = true, value_name = "NAME=URL")]
    pub providers: Vec<ProviderAddress>,
    /// How long it waits for a provider inside a request
    #[arg(long, default_value = "30s", value_parser = value::duration, value_name = "TIME")]
    pub timeout: Duration,
}

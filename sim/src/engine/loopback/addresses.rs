//! A port of 127.0.0.1 for each host.
//!
//! **Invariant**: no two hosts get the same port, and during a run nobody else gets one of them, also while its host is down.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

use tokio::net::TcpSocket;

use crate::{engine::EngineError, system::Address};

/// An address for each host: a port that is free now.
pub(crate) fn addresses(names: &[String]) -> Result<BTreeMap<String, Address>, EngineError> {
    // All at once, or the kernel may give the same port twice.
    let mut listeners = Vec::new();
    for name in names {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|it| Ok((it.local_addr()?, it)));
        let (address, listener) = listener
            .map_err(|error| EngineError::Broken(format!("no free port for {name}: {error}")))?;
        listeners.push((name.clone(), address.to_string(), listener));
    }
    let address = |text: String| Address {
        listen: text.clone(),
        dial: text,
    };
    Ok(listeners
        .into_iter()
        .map(|(name, text, _)| (name, address(text)))
        .collect())
}

/// Keeps the ports for the run: bound but not listening, so that a host may still listen there and nobody else is given one. Needs a runtime.
pub(super) fn reserve(
    addresses: &BTreeMap<String, Address>,
) -> Result<Vec<TcpSocket>, EngineError> {
    let one = |text: &str| -> Result<TcpSocket, std::io::Error> {
        let address: SocketAddr = text.parse().map_err(std::io::Error::other)?;
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    };
    let broken = |name: &str, error| EngineError::Broken(format!("the port of {name}: {error}"));
    addresses
        .iter()
        .map(|(name, address)| one(&address.listen).map_err(|error| broken(name, error)))
        .collect()
}

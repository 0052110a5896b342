//! The planned requests with headers and bodies: in memory, and beyond a budget wherever the caller keeps them.
//!
//! **Invariant**: a request that is read again is the one that was planned, or none: what cannot be read is told to the archive and never guessed.
//! It deliberately opens no file: who makes the [`Spill`] does.

use std::{borrow::Cow, fmt, io, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    capture::{Body, Request},
    run::{Archive, Place},
};

/// So many bytes of requests are kept in memory where there is a spill: a capture of some fifty thousand requests.
const BUDGET: usize = 64 << 20;

/// What a request and a header take beyond their texts.
const REQUEST_BYTES: usize = 192;
const HEADER_BYTES: usize = 80;

/// Where requests go that have no room in memory.
pub trait Spill: fmt::Debug + Send {
    /// Keeps `bytes`, and says where.
    ///
    /// # Errors
    /// When there is no room for them there either.
    fn put(&mut self, bytes: &[u8]) -> io::Result<Place>;

    /// Reads again what was put.
    ///
    /// # Errors
    /// When what was put cannot be read.
    fn archive(&mut self) -> io::Result<Arc<dyn Archive>>;
}

/// The requests of a plan, in its order.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    kept: Vec<Request>,
    spilled: Vec<Place>,
    archive: Option<Arc<dyn Archive>>,
}

#[derive(Serialize, Deserialize)]
struct Written<'r> {
    method: Cow<'r, str>,
    target: Cow<'r, str>,
    version: Cow<'r, str>,
    headers: Cow<'r, [(String, String)]>,
    /// Nothing where not all of it is known: such a request is never sent.
    #[serde(borrow)]
    body: Option<&'r [u8]>,
}

impl Requests {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.kept.len() + self.spilled.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The request at `at`; nothing if there is none, or it cannot be read again, of which the archive knows.
    pub fn get(&self, at: usize) -> Option<Cow<'_, Request>> {
        if let Some(kept) = self.kept.get(at) {
            return Some(Cow::Borrowed(kept));
        }
        let place = self.spilled.get(at - self.kept.len())?;
        let archive = self.archive.as_deref()?;
        let mut bytes = vec![0; place.length as usize];
        match archive
            .read(place.offset, &mut bytes)
            .map_err(|error| error.to_string())
            .and_then(|()| read(&bytes).ok_or_else(|| "it has changed".to_owned()))
        {
            Ok(request) => Some(Cow::Owned(request)),
            Err(told) => {
                archive.lost(&format!("a request cannot be read again: {told}"));
                None
            }
        }
    }
}

/// Takes the requests of a plan.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    requests: Requests,
    bytes: usize,
    budget: Option<usize>,
    spill: Option<Box<dyn Spill>>,
}

impl Keeper {
    /// Keeps requests in memory as far as there is room, and the rest in `spill`.
    pub(super) fn spilling(spill: Box<dyn Spill>) -> Self {
        Self {
            budget: Some(BUDGET),
            spill: Some(spill),
            ..Self::default()
        }
    }

    /// Takes the next request.
    ///
    /// # Errors
    /// What the spill says.
    pub(super) fn push(&mut self, request: Request) -> io::Result<()> {
        self.bytes = self.bytes.saturating_add(weight(&request));
        let Some(spill) = &mut self.spill else {
            self.requests.kept.push(request);
            return Ok(());
        };
        // In order: once one was spilled, all that follow are.
        if self.requests.spilled.is_empty() && self.budget.is_some_and(|most| self.bytes <= most) {
            self.requests.kept.push(request);
            return Ok(());
        }
        self.requests.spilled.push(spill.put(&written(&request))?);
        Ok(())
    }

    /// All of them.
    ///
    /// # Errors
    /// What the spill says.
    pub(super) fn finish(mut self) -> io::Result<Requests> {
        if let Some(spill) = &mut self.spill
            && !self.requests.spilled.is_empty()
        {
            self.requests.archive = Some(spill.archive()?);
        }
        Ok(self.requests)
    }
}

fn weight(request: &Request) -> usize {
    let headers: usize = request
        .headers
        .iter()
        .map(|(name, value)| HEADER_BYTES + name.len() + value.len())
        .sum();
    let body = request.body.whole().map_or(0, Bytes::len);
    REQUEST_BYTES + request.target.len() + headers + body
}

fn written(request: &Request) -> Vec<u8> {
    let written = Written {
        method: Cow::Borrowed(&request.method),
        target: Cow::Borrowed(&request.target),
        version: Cow::Borrowed(&request.version),
        headers: Cow::Borrowed(&request.headers),
        body: request.body.whole().map(|body| &body[..]),
    };
    postcard::to_extend(&written, Vec::new()).expect("a request is plain data")
}

fn read(bytes: &[u8]) -> Option<Request> {
    let written: Written<'_> = postcard::from_bytes(bytes).ok()?;
    Some(Request {
        method: written.method.into_owned(),
        target: written.target.into_owned(),
        version: written.version.into_owned(),
        headers: written.headers.into_owned(),
        body: written.body.map_or(Body::Missing, |body| {
            Body::Whole(Bytes::copy_from_slice(body))
        }),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Debug, Default)]
    struct Shelf(Arc<Mutex<(Vec<u8>, Vec<String>)>>);

    impl Archive for Shelf {
        fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
            let shelf = self.0.lock().expect("no panic");
            let from = usize::try_from(offset).expect("it is small");
            let there = shelf.0.get(from..from + bytes.len());
            bytes.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        }

        fn lost(&self, told: &str) {
            self.0.lock().expect("no panic").1.push(told.to_owned());
        }
    }

    impl Spill for Shelf {
        fn put(&mut self, bytes: &[u8]) -> io::Result<Place> {
            let shelf = &mut self.0.lock().expect("no panic").0;
            let offset = shelf.len() as u64;
            shelf.extend_from_slice(bytes);
            let length = u32::try_from(bytes.len()).expect("it is small");
            Ok(Place { offset, length })
        }

        fn archive(&mut self) -> io::Result<Arc<dyn Archive>> {
            Ok(Arc::new(self.clone()))
        }
    }

    fn request(at: u8) -> Request {
        Request {
            method: "POST".into(),
            target: format!("/things/{at}"),
            version: "1.1".into(),
            headers: vec![("a".into(), "é".repeat(usize::from(at)))],
            body: match at % 3 {
                0 => Body::Missing,
                _ => Body::Whole(Bytes::from(vec![at; usize::from(at)])),
            },
        }
    }

    #[test]
    fn what_has_no_room_in_memory_is_read_again() {
        let shelf = Shelf::default();
        for budget in [0, 1_000, usize::MAX] {
            let mut keeper = Keeper {
                budget: Some(budget),
                ..Keeper::spilling(Box::new(shelf.clone()))
            };
            for at in 0..20 {
                keeper.push(request(at)).expect("there is room");
            }
            let requests = keeper.finish().expect("it can be read");
            assert_eq!(requests.len(), 20);
            assert_eq!(requests.spilled.is_empty(), budget == usize::MAX);
            assert_eq!(requests.kept.is_empty(), budget == 0);
            for at in 0..20 {
                let found = requests.get(usize::from(at)).expect("it is there");
                assert_eq!(*found, request(at), "under a budget of {budget}");
            }
            assert!(requests.get(20).is_none());
        }
        assert!(shelf.0.lock().expect("no panic").1.is_empty());
    }

    #[test]
    fn what_cannot_be_read_again_is_told() {
        let mut shelf = Shelf::default();
        let mut keeper = Keeper {
            budget: Some(0),
            ..Keeper::spilling(Box::new(shelf.clone()))
        };
        keeper.push(request(1)).expect("there is room");
        let requests = keeper.finish().expect("it can be read");
        let place = requests.spilled[0];
        shelf.0.lock().expect("no panic").0.clear();
        assert!(requests.get(0).is_none());
        shelf
            .put(&vec![255; place.length as usize])
            .expect("there is room");
        assert!(requests.get(0).is_none());
        assert_eq!(shelf.0.lock().expect("no panic").1.len(), 2);
    }
}

//! A planned request as one target gets it: with its own values, rewritten by rules, with the session's cookies.
//!
//! **Invariant**: a request that cannot be sent as it is meant is not sent at all, and says why.

use bytes::Bytes;

use super::{Run, Running};
use crate::{
    capture::header,
    plan::Unreplayable,
    run::{Progress, SkipReason, bindings::substituted, cookies::Jar, queue::Job, send::prepare},
};

impl<P: FnMut(Progress) + Send> Running<'_, '_, P> {
    /// The request `at` as this target gets it now.
    pub(super) fn request(&self, job: &Job, at: usize) -> Result<http::Request<Bytes>, SkipReason> {
        let Run {
            plan,
            rules,
            target,
            host,
            ..
        } = self.run;
        let planned = &plan.requests[at];
        if let Some(reason) = planned.unreplayable {
            return Err(SkipReason::Unreplayable(reason));
        }
        let replaced = self
            .bindings
            .replaced(&planned.uses)
            .ok_or(SkipReason::Unresolved)?;
        let lost = SkipReason::Unreplayable(Unreplayable::BodyMissing);
        let asked = plan.contents.get(at).ok_or(lost)?;
        let live = substituted(&asked, &replaced);
        let rewritten = rules.rewrite(target.side, &live);
        let named = rules.host(target.side, &asked);
        let mut request = prepare(&target.url, &rewritten, named).ok_or(SkipReason::NotHttp)?;
        // HTTP/2 lets a client send each cookie in a header of its own (RFC 9113, section 8.2.3).
        let is_cookie = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("cookie");
        let cookies = rewritten.headers.iter().filter(is_cookie);
        let cookies: Vec<&str> = cookies.map(|(_, value)| value.as_str()).collect();
        let captured = (!cookies.is_empty()).then(|| cookies.join("; "));
        let jar = self.jars.get(&job.session);
        if jar.is_some() || (captured.is_some() && !replaced.is_empty()) {
            let of_host = header(&asked.headers, "host").unwrap_or_default();
            let now_s = host.now().as_micros() / 1_000_000;
            // The target sees the path that it is sent, and sets its cookies for that.
            let path = rewritten.path();
            let fresh = Jar::default();
            let cookies = jar.unwrap_or(&fresh);
            let cookies = cookies.header(captured.as_deref(), &replaced, of_host, path, now_s);
            let headers = request.headers_mut();
            headers.remove(http::header::COOKIE);
            if let Some(value) = cookies.and_then(|text| text.parse().ok()) {
                headers.insert(http::header::COOKIE, value);
            }
        }
        Ok(request)
    }
}

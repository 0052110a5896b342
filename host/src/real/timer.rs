//! A sleep that ends within some tens of microseconds of its time, without burning a core.
//!
//! tokio's timer wheel has a resolution of a millisecond, too coarse for the pace of a replay. On Linux the kernel's own timers
//! (`timerfd_create(2)`) wake the runtime through the same poll that sockets use.
//!
//! **Invariant**: it never ends early. Where there is no such timer (another system, or no descriptor left) it is tokio's sleep.

use std::time::Duration;

use crate::machine::Sleep;

#[cfg(not(target_os = "linux"))]
pub(super) fn sleep(duration: Duration) -> Sleep {
    Box::pin(tokio::time::sleep(duration))
}

#[cfg(target_os = "linux")]
pub(super) fn sleep(duration: Duration) -> Sleep {
    match linux::Timer::set(duration) {
        Ok(timer) => Box::pin(timer),
        Err(_) => Box::pin(tokio::time::sleep(duration)),
    }
}

#[cfg(target_os = "linux")]
mod linux {
    //! The kernel's timer as a future.

    use std::{
        future::Future,
        io,
        os::fd::OwnedFd,
        pin::Pin,
        task::{Context, Poll, ready},
        time::Duration,
    };

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::{Interest, unix::AsyncFd};

    /// A timer that fires once: its descriptor is then readable.
    pub(super) struct Timer(AsyncFd<OwnedFd>);

    impl Timer {
        /// A timer that fires after `duration`.
        pub(super) fn set(duration: Duration) -> io::Result<Self> {
            let timer = timerfd_create(
                TimerfdClockId::Monotonic,
                TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
            )?;
            // A zero would disarm it.
            let duration = duration.max(Duration::from_nanos(1));
            let zero = Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            let once = Itimerspec {
                it_interval: zero,
                it_value: Timespec {
                    tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
                    tv_nsec: duration.subsec_nanos().into(),
                },
            };
            timerfd_settime(&timer, TimerfdTimerFlags::empty(), &once)?;
            #[expect(
                deprecated,
                reason = "its replacement is unsafe for descriptors that may be swapped; an `OwnedFd` stays the same until it is dropped"
            )]
            AsyncFd::with_interest(timer, Interest::READABLE).map(Self)
        }
    }

    impl Future for Timer {
        type Output = ();

        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            // Nothing else makes it readable, so what readiness says is enough; an error would be the end of the wait as well.
            let _ = ready!(self.0.poll_read_ready(cx));
            Poll::Ready(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Machine, real::RealMachine};

    #[test]
    fn it_is_never_early() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let machine = RealMachine::new();
            for us in [0, 1, 50, 300, 1_500, 4_000] {
                let (wanted, before) = (Duration::from_micros(us), machine.elapsed());
                machine.sleep_precisely(wanted).await;
                let slept = machine.elapsed().saturating_sub(before);
                assert!(slept >= wanted, "{slept:?} of {wanted:?}");
            }
        });
    }
}

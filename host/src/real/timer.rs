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
    //!
    //! A paced replay sleeps thousands of times a second: a thread keeps the descriptor of its last timer, registered as it is, for the next.

    use std::{
        cell::RefCell,
        future::Future,
        io,
        os::fd::OwnedFd,
        pin::Pin,
        task::{Context, Poll, ready},
        time::Duration,
    };

    use rustix::{
        io::{Errno, read},
        time::{
            Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
            timerfd_settime,
        },
    };
    use tokio::{
        io::{Interest, unix::AsyncFd},
        runtime::{Handle, Id},
    };

    thread_local! {
        static SPARE: RefCell<Option<Registered>> = const { RefCell::new(None) };
    }

    /// A timer's descriptor and the runtime that polls it.
    struct Registered {
        descriptor: AsyncFd<OwnedFd>,
        runtime: Id,
    }

    impl Registered {
        fn new(runtime: Id) -> io::Result<Self> {
            let timer = timerfd_create(
                TimerfdClockId::Monotonic,
                TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
            )?;
            #[expect(
                deprecated,
                reason = "its replacement is unsafe for descriptors that may be swapped; an `OwnedFd` stays the same until it is dropped"
            )]
            let descriptor = AsyncFd::with_interest(timer, Interest::READABLE)?;
            Ok(Self {
                descriptor,
                runtime,
            })
        }
    }

    /// A timer that fires once: its descriptor is then readable.
    pub(super) struct Timer(Option<Registered>);

    impl Timer {
        /// A timer that fires after `duration`.
        pub(super) fn set(duration: Duration) -> io::Result<Self> {
            let runtime = Handle::current().id();
            let spare = SPARE.try_with(RefCell::take).ok().flatten();
            let registered = match spare.filter(|spare| spare.runtime == runtime) {
                Some(spare) => spare,
                None => Registered::new(runtime)?,
            };
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
            // This also forgets an expiry that nobody waited for.
            let descriptor = registered.descriptor.get_ref();
            timerfd_settime(descriptor, TimerfdTimerFlags::empty(), &once)?;
            Ok(Self(Some(registered)))
        }
    }

    impl Future for Timer {
        type Output = ();

        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            let Some(registered) = &self.0 else {
                return Poll::Ready(());
            };
            loop {
                // A runtime that ends is the end of the wait as well.
                let Ok(mut guard) = ready!(registered.descriptor.poll_read_ready(cx)) else {
                    return Poll::Ready(());
                };
                // What is known to be readable may be the expiry of an earlier use: only the count says.
                let mut expiries = [0; 8];
                let counted = read(registered.descriptor.get_ref(), &mut expiries);
                guard.clear_ready();
                if counted != Err(Errno::AGAIN) {
                    return Poll::Ready(());
                }
            }
        }
    }

    impl Drop for Timer {
        fn drop(&mut self) {
            let registered = self.0.take();
            // A thread that ends keeps nothing.
            let _ = SPARE.try_with(|spare| spare.replace(registered));
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
            for us in [1, 400, 1, 900] {
                // One that fired and was never waited for leaves its descriptor to the next.
                let mut unheard = machine.sleep_precisely(Duration::from_micros(us));
                let nobody = std::task::Waker::noop();
                let _ = unheard
                    .as_mut()
                    .poll(&mut std::task::Context::from_waker(nobody));
                machine.sleep(Duration::from_millis(1)).await;
                drop(unheard);
                let (wanted, before) = (Duration::from_micros(700), machine.elapsed());
                machine.sleep_precisely(wanted).await;
                let slept = machine.elapsed().saturating_sub(before);
                assert!(slept >= wanted, "{slept:?} of {wanted:?} after another");
            }
        });
    }
}

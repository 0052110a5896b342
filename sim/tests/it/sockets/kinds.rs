//! Kinds of fault that only our own engine can do: what each does to sockets, clocks and timers, and the honest count of it.
//!
//! **Invariant**: each kind has a case in which it strikes and is counted, and is inert where nothing goes on; other engines refuse it by name.

use std::{io::ErrorKind, time::Duration};

use rehearsal_host::Stream;
use rehearsal_sim::{
    engine::Engine,
    fault::{Kind, LossAs, ResetAt},
    range::Latency,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    connections::{echo, exchange},
    stage::{Behavior, Outcome, Side, ensure, idle, play, said},
};

const SLOW: Kind = Kind::Slow {
    delay: Latency::FixedMs(40.0),
};
const SKEW: Kind = Kind::Skew { offset_ms: -60_000 };
const STEP: Kind = Kind::Step { offset_ms: 60_000 };
const DRIFT: Kind = Kind::Drift { ppm: 100_000.0 };
const LOSS: Kind = Kind::Loss {
    rate: 0.3,
    loss_as: LossAs::Delay,
    one_way: false,
};
const TEARING: Kind = Kind::Loss {
    rate: 1.0,
    loss_as: LossAs::Reset,
    one_way: false,
};
/// From the server (the target) to the client: in the middle of an answer.
const RESET_BYTE: Kind = Kind::Reset {
    at: ResetAt::Byte(100),
    one_way: true,
};
const RESET_SEGMENT: Kind = Kind::Reset {
    at: ResetAt::Segment(3),
    one_way: true,
};
const NARROW: Kind = Kind::Bandwidth {
    bytes_per_s: 1_000,
    one_way: false,
};
const SLOW_READS: Kind = Kind::SlowReads { bytes_per_s: 1_000 };

const KINDS: &[Kind] = &[
    Kind::Pause,
    SLOW,
    SKEW,
    STEP,
    DRIFT,
    LOSS,
    TEARING,
    RESET_BYTE,
    RESET_SEGMENT,
    NARROW,
    SLOW_READS,
];

const BEHAVIORS: &[Behavior] = &[
    Behavior::new(
        "a paused host answers once it goes on",
        |side| Box::pin(paused(side)),
        |side| Box::pin(echo(side)),
    )
    .under(Kind::Pause),
    Behavior::new(
        "timers that ran out in a pause fire at its end",
        |side| Box::pin(overslept(side)),
        |side| {
            Box::pin(async move {
                side.note("asleep");
                for _ in 0..3 {
                    side.pause(50).await;
                    side.tick();
                }
                Ok(())
            })
        },
    )
    .under(Kind::Pause),
    Behavior::new(
        "a slow host waits between its turns",
        |side| Box::pin(slow(side)),
        |side| Box::pin(echo(side)),
    )
    .under(SLOW),
    Behavior::new(
        "a skewed clock is off until the end",
        |side| Box::pin(clock(side, [-60_000, 0])),
        |side| Box::pin(telling(side)),
    )
    .under(SKEW),
    Behavior::new(
        "a step stays",
        |side| Box::pin(clock(side, [60_000, 60_000])),
        |side| Box::pin(telling(side)),
    )
    .under(STEP),
    Behavior::new(
        "a drifting clock gains with time",
        |side| Box::pin(clock(side, [100, 0])),
        |side| Box::pin(telling(side)),
    )
    .under(DRIFT),
    Behavior::new(
        "what is lost is sent again",
        |side| Box::pin(lossy(side)),
        |side| Box::pin(echo(side)),
    )
    .under(LOSS),
    Behavior::new(
        "a loss may reset its connection",
        |side| Box::pin(torn(side, 0)),
        |side| Box::pin(echo(side)),
    )
    .under(TEARING),
    Behavior::new(
        "a connection is reset amid an answer",
        |side| Box::pin(torn(side, 100)),
        |side| Box::pin(echo(side)),
    )
    .under(RESET_BYTE),
    Behavior::new(
        "a connection is reset at a segment",
        |side| Box::pin(third_segment(side)),
        |side| Box::pin(echo(side)),
    )
    .under(RESET_SEGMENT),
    Behavior::new(
        "a narrow link takes its time both ways",
        |side| Box::pin(narrow(side, 1_000..1_100)),
        |side| Box::pin(echo(side)),
    )
    .under(NARROW),
    Behavior::new(
        "slow reads slow one way",
        |side| Box::pin(narrow(side, 500..600)),
        |side| Box::pin(echo(side)),
    )
    .under(SLOW_READS),
];

#[test]
fn pipes_show_every_kind() {
    let mut wrong = Vec::new();
    for seed in 0..5 {
        for behavior in BEHAVIORS {
            if let Err(error) = play(Engine::Pipes, behavior, seed) {
                wrong.push(format!("{} (seed {seed}): {error}", behavior.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_kind_is_inert_where_nothing_goes_on() {
    for kind in KINDS {
        let quiet = Behavior::new("inert", |side| Box::pin(inert(side)), idle).under(kind.clone());
        let played = play(Engine::Pipes, &quiet, 1);
        assert!(played.is_ok(), "{}: {played:?}", kind.name());
    }
}

#[test]
fn other_engines_refuse_what_they_cannot_do() {
    for engine in [Engine::Turmoil, Engine::Loopback] {
        for kind in KINDS {
            let quiet =
                Behavior::new("refused", |side| Box::pin(inert(side)), idle).under(kind.clone());
            let refusal = play(engine, &quiet, 1).expect_err("it cannot do this");
            let expected = format!(
                "engine: the {} engine cannot do a fault of kind `{}`",
                engine.name(),
                kind.name()
            );
            assert_eq!(refusal, expected);
        }
    }
}

async fn inert(side: Side) -> Outcome {
    side.begin_fault().await;
    side.pause(20).await;
    let effect = side.end_fault().await;
    ensure(
        effect == 0,
        format!("nothing went on, yet {effect} counted"),
    )
}

async fn ended(side: &Side) -> Outcome {
    let effect = side.end_fault().await;
    ensure(effect > 0, "the fault counted nothing")
}

async fn paused(side: Side) -> Outcome {
    let mut stream = side.connect().await?;
    exchange(&mut stream, b"before").await?;
    side.begin_fault().await;
    stream.write_all(b"during").await.map_err(said("write"))?;
    let early = side
        .host
        .timeout(Duration::from_millis(500), stream.read_u8())
        .await;
    ensure(early.is_err(), format!("a paused host spoke: {early:?}"))?;
    ended(&side).await?;
    let start = side.host.elapsed();
    let mut answer = [0; 6];
    stream.read_exact(&mut answer).await.map_err(said("read"))?;
    ensure(answer == *b"during", format!("{answer:?}"))?;
    let late = side.since(start).as_millis();
    ensure(late < 20, format!("{late} ms after the pause"))
}

async fn overslept(side: Side) -> Outcome {
    side.noted("asleep").await;
    side.begin_fault().await;
    side.pause(100).await;
    ensure(side.ticks() == 0, "a paused host's timers fired")?;
    ended(&side).await?;
    side.pause(2).await;
    ensure(side.ticks() == 1, format!("{} ticks", side.ticks()))
}

async fn slow(side: Side) -> Outcome {
    let mut stream = side.connect().await?;
    let round_trips = async |stream: &mut Stream| -> Result<u128, String> {
        let start = side.host.elapsed();
        for _ in 0..5 {
            exchange(stream, b"word").await?;
        }
        Ok(side.since(start).as_millis())
    };
    side.begin_fault().await;
    let slow = round_trips(&mut stream).await?;
    ensure(slow >= 4 * 40, format!("{slow} ms for five round trips"))?;
    ended(&side).await?;
    let usual = round_trips(&mut stream).await?;
    ensure(usual <= 5 * 12, format!("still {usual} ms after the fault"))
}

/// Tells its wall clock's time to whoever asks.
async fn telling(side: Side) -> Outcome {
    let mut listener = side.bind().await?;
    let mut stream = listener.accept().await.map_err(said("accept"))?;
    while stream.read_u8().await.is_ok() {
        let now = side.host.now().as_micros();
        stream.write_i64(now).await.map_err(said("write"))?;
    }
    Ok(())
}

/// How far the server's clock is off, a second into the fault and after it, in milliseconds.
async fn clock(side: Side, expect: [i64; 2]) -> Outcome {
    let mut stream = side.connect().await?;
    let mut off = async || -> Result<i64, String> {
        stream.write_u8(0).await.map_err(said("write"))?;
        let told = stream.read_i64().await.map_err(said("read"))?;
        Ok((told - side.host.now().as_micros()) / 1_000)
    };
    let close = |found: i64, expect: i64| {
        ensure(
            (found - expect).abs() <= 15,
            format!("off by {found} ms, expected {expect}"),
        )
    };
    close(off().await?, 0)?;
    side.begin_fault().await;
    side.pause(1_000).await;
    close(off().await?, expect[0])?;
    ended(&side).await?;
    close(off().await?, expect[1])
}

async fn lossy(side: Side) -> Outcome {
    let mut stream = side.connect().await?;
    side.begin_fault().await;
    for _ in 0..30 {
        exchange(&mut stream, b"again and again").await?;
    }
    ended(&side).await
}

/// Writes 300 bytes and expects `most` of them back before the reset.
async fn torn(side: Side, most: usize) -> Outcome {
    let mut stream = side.connect().await?;
    side.begin_fault().await;
    stream.write_all(&[7; 300]).await.map_err(said("write"))?;
    let mut read = 0;
    let error = loop {
        match stream.read(&mut [0; 300]).await {
            Ok(0) => return Err("the end of the stream in place of a reset".to_owned()),
            Ok(count) => read += count,
            Err(error) => break error,
        }
    };
    ensure(
        error.kind() == ErrorKind::ConnectionReset && read == most,
        format!("{error} after {read} bytes"),
    )?;
    ended(&side).await?;
    exchange(&mut side.connect().await?, b"a new connection").await
}

async fn third_segment(side: Side) -> Outcome {
    let mut stream = side.connect().await?;
    side.begin_fault().await;
    // An answer of one byte is one segment.
    for _ in 0..2 {
        exchange(&mut stream, b"x").await?;
    }
    let third = exchange(&mut stream, b"x").await;
    ensure(third.is_err(), "the third segment arrived")?;
    let effect = side.end_fault().await;
    ensure(effect == 1, format!("one reset, counted {effect}"))
}

/// 500 bytes to the echo and back take so many milliseconds at 1,000 bytes a second.
async fn narrow(side: Side, expect: std::ops::Range<u128>) -> Outcome {
    let mut stream = side.connect().await?;
    side.begin_fault().await;
    let start = side.host.elapsed();
    exchange(&mut stream, &[1; 500]).await?;
    let took = side.since(start).as_millis();
    ensure(expect.contains(&took), format!("{took} ms"))?;
    // What waits behind the limit does not outlast it.
    stream
        .write_all(&vec![2; 30_000])
        .await
        .map_err(said("write"))?;
    ended(&side).await?;
    let start = side.host.elapsed();
    let mut answer = vec![0; 30_000];
    stream.read_exact(&mut answer).await.map_err(said("read"))?;
    let took = side.since(start).as_millis();
    ensure(took < 100, format!("{took} ms after the limit was lifted"))
}

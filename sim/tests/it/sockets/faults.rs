//! Sockets under faults: crashes, partitions, holds, slow links, and the honest count of what each did.

use std::{io::ErrorKind, time::Duration};

use rehearsal_host::Stream;
use rehearsal_sim::{
    fault::{Crash, Kind},
    range::Latency,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    connections::{echo, exchange},
    stage::{Behavior, Outcome, Side, ensure, idle, said},
};

const KILL: Kind = Kind::Crash { mode: Crash::Kill };
const POWER_LOSS: Kind = Kind::Crash {
    mode: Crash::PowerLoss,
};
const PARTITION: Kind = Kind::Partition { one_way: false };
const DEAF: Kind = Kind::Partition { one_way: true };
const SLOW_MS: u64 = 40;
const SLOW: Kind = Kind::Latency {
    latency: Latency::FixedMs(40.0),
};

pub(super) const BEHAVIORS: &[Behavior] = &[
    Behavior::new(
        "a killed process resets who wrote to it",
        |side| Box::pin(mid_stream(side)),
        |side| Box::pin(holding(side)),
    )
    .under(KILL),
    Behavior::new(
        "a killed process ends idle connections",
        |side| Box::pin(idling(side)),
        |side| Box::pin(holding(side)),
    )
    .under(KILL),
    Behavior::new(
        "a killed process refuses until it is back",
        |side| Box::pin(restart(side)),
        |side| Box::pin(booting(side)),
    )
    .under(KILL),
    Behavior::new(
        "tasks die with their host",
        |side| Box::pin(counting(side)),
        |side| {
            Box::pin(async move {
                ticking(&side);
                Ok(())
            })
        },
    )
    .under(KILL),
    Behavior::new(
        "a power loss is silent until the host is back",
        |side| Box::pin(silence(side)),
        |side| Box::pin(holding(side)),
    )
    .under(POWER_LOSS),
    Behavior::new(
        "the end of a stream to a machine that lost its power is answered by a reset",
        |side| Box::pin(end_into_the_dark(side)),
        |side| Box::pin(holding(side)),
    )
    .under(POWER_LOSS),
    Behavior::new(
        "what is sent across a partition arrives after the heal",
        |side| Box::pin(delayed(side)),
        |side| Box::pin(echo(side)),
    )
    .under(PARTITION),
    Behavior::new(
        "a connection across a partition works, or ends, after the heal",
        |side| Box::pin(delayed_or_ended(side)),
        |side| Box::pin(echo(side)),
    )
    .under(PARTITION),
    Behavior::new(
        "a connection attempt outlasts a partition",
        |side| Box::pin(attempt(side)),
        |side| Box::pin(echo(side)),
    )
    .under(PARTITION),
    Behavior::new(
        "a one-way partition lets the other way through",
        |side| Box::pin(one_way(side)),
        |side| Box::pin(noting(side)),
    )
    .under(DEAF),
    Behavior::new(
        "what is held arrives in order",
        |side| Box::pin(held(side)),
        |side| Box::pin(lines(side)),
    )
    .under(Kind::Hold),
    Behavior::new(
        "a slow link slows both ways",
        |side| Box::pin(slowed(side)),
        |side| Box::pin(echo(side)),
    )
    .under(SLOW),
    Behavior::new(
        "a partition without traffic is inert",
        |side| Box::pin(inert(side)),
        idle,
    )
    .under(PARTITION),
    Behavior::new(
        "a hold without traffic is inert",
        |side| Box::pin(inert(side)),
        idle,
    )
    .under(Kind::Hold),
    Behavior::new(
        "a slow link without traffic is inert",
        |side| Box::pin(inert(side)),
        idle,
    )
    .under(SLOW),
];

/// Accepts connections and reads nothing.
async fn holding(side: Side) -> Outcome {
    let mut listener = side.bind().await?;
    let mut streams = Vec::new();
    loop {
        streams.push(listener.accept().await.map_err(said("accept"))?);
        side.note("accepted");
    }
}

async fn mid_stream(side: Side) -> Outcome {
    let mut stream = side.connect().await?;
    side.noted("accepted").await;
    stream.write_all(b"unread").await.map_err(said("write"))?;
    side.pause(20).await;
    side.begin_fault().await;
    match stream.read(&mut [0; 16]).await {
        Ok(count) => Err(format!("expected a reset, read {count}"))?,
        Err(error) => ensure(
            error.kind() == ErrorKind::ConnectionReset,
            format!("{error}"),
        )?,
    }
    let effect = side.end_fault().await;
    ensure(
        effect == 2,
        format!("one process and one connection died; counted {effect}"),
    )
}

async fn idling(side: Side) -> Outcome {
    let mut stream = side.connect().await?;
    side.noted("accepted").await;
    side.begin_fault().await;
    // A reset, or the end of the stream: a kernel closes what a dead process leaves.
    if let Ok(count @ 1..) = stream.read(&mut [0; 16]).await {
        return Err(format!("read {count} bytes from the dead"));
    }
    Ok(())
}

async fn booting(side: Side) -> Outcome {
    let mut listener = side.bind().await?;
    side.note(&format!("boot {}", side.boot));
    loop {
        let mut stream = listener.accept().await.map_err(said("accept"))?;
        stream.write_u32(side.boot).await.map_err(said("write"))?;
    }
}

async fn restart(side: Side) -> Outcome {
    let boot = async || -> Result<u32, String> {
        side.connect().await?.read_u32().await.map_err(said("read"))
    };
    ensure(boot().await? == 1, "the first boot is not 1")?;
    side.begin_fault().await;
    match side.host.connect(&side.server).await {
        Ok(_) => return Err("connected to a dead process".to_owned()),
        Err(error) => ensure(
            error.kind() == ErrorKind::ConnectionRefused,
            format!("while down: {error}"),
        )?,
    }
    side.end_fault().await;
    side.noted("boot 2").await;
    ensure(boot().await? == 2, "the second boot is not 2")
}

fn ticking(side: &Side) {
    let tasks = if side.boot == 1 { 3 } else { 0 };
    for _ in 0..tasks {
        let task = side.clone();
        side.host.spawn(async move {
            loop {
                task.tick();
                task.pause(1).await;
            }
        });
    }
}

async fn counting(side: Side) -> Outcome {
    while side.ticks() < 9 {
        side.pause(1).await;
    }
    side.begin_fault().await;
    let at_death = side.ticks();
    side.pause(20).await;
    side.end_fault().await;
    side.pause(20).await;
    let now = side.ticks();
    ensure(
        now == at_death,
        format!("{} ticks after the crash", now - at_death),
    )
}

async fn silence(side: Side) -> Outcome {
    let mut stream = side.connect().await?;
    side.noted("accepted").await;
    side.begin_fault().await;
    let waited = side
        .host
        .timeout(Duration::from_millis(500), stream.read(&mut [0; 16]))
        .await;
    ensure(
        waited.is_err(),
        format!("heard something from a dead machine: {waited:?}"),
    )?;
    side.end_fault().await;
    // TCP learns of a reboot when it next says something.
    let _ = stream.write_all(b"still there?").await;
    let heard = side
        .host
        .timeout(Duration::from_secs(30), stream.read(&mut [0; 16]))
        .await;
    match heard {
        Ok(Err(error)) => ensure(
            error.kind() == ErrorKind::ConnectionReset,
            format!("{error}"),
        ),
        other => Err(format!(
            "expected a reset after the reboot, found {other:?}"
        )),
    }
}

async fn end_into_the_dark(side: Side) -> Outcome {
    let mut stream = side.connect().await?;
    side.noted("accepted").await;
    side.begin_fault().await;
    stream.shutdown().await.map_err(said("shutdown"))?;
    side.pause(50).await;
    side.end_fault().await;
    let heard = side
        .host
        .timeout(Duration::from_secs(30), stream.read(&mut [0; 16]))
        .await;
    match heard {
        Ok(Err(error)) => ensure(
            error.kind() == ErrorKind::ConnectionReset,
            format!("{error}"),
        ),
        other => Err(format!(
            "expected a reset after the reboot, found {other:?}"
        )),
    }
}

/// Writes during the fault and checks that nothing comes back until it ends.
async fn write_across(side: &Side, stream: &mut Stream) -> Outcome {
    exchange(stream, b"before").await?;
    side.begin_fault().await;
    stream.write_all(b"during").await.map_err(said("write"))?;
    let early = side
        .host
        .timeout(Duration::from_millis(100), stream.read_u8())
        .await;
    ensure(
        early.is_err(),
        format!("an answer across the fault: {early:?}"),
    )?;
    let effect = side.end_fault().await;
    ensure(effect > 0, "the fault counted nothing")
}

async fn delayed(side: Side) -> Outcome {
    let mut stream = side.connect().await?;
    write_across(&side, &mut stream).await?;
    let mut answer = [0; 6];
    stream.read_exact(&mut answer).await.map_err(said("read"))?;
    ensure(answer == *b"during", format!("{answer:?}"))
}

async fn delayed_or_ended(side: Side) -> Outcome {
    let mut stream = side.connect().await?;
    write_across(&side, &mut stream).await?;
    let mut answer = [0; 6];
    match stream.read_exact(&mut answer).await {
        Ok(_) => ensure(answer == *b"during", format!("{answer:?}"))?,
        Err(error) => ensure(
            error.kind() == ErrorKind::ConnectionReset,
            format!("{error}"),
        )?,
    }
    let mut fresh = side.connect().await?;
    exchange(&mut fresh, b"after").await
}

async fn attempt(side: Side) -> Outcome {
    side.noted("listening").await;
    side.begin_fault().await;
    let mut connecting = std::pin::pin!(side.host.connect(&side.server));
    let early = side
        .host
        .timeout(Duration::from_millis(100), &mut connecting)
        .await;
    ensure(
        early.is_err(),
        format!("connected across a partition: {early:?}"),
    )?;
    let effect = side.end_fault().await;
    ensure(effect > 0, "the partition counted nothing")?;
    let mut stream = connecting.await.map_err(said("connect after the heal"))?;
    exchange(&mut stream, b"at last").await
}

async fn noting(side: Side) -> Outcome {
    let mut listener = side.bind().await?;
    let mut stream = listener.accept().await.map_err(said("accept"))?;
    let mut word = [0; 6];
    for _ in 0..2 {
        stream.read_exact(&mut word).await.map_err(said("read"))?;
        side.note(&String::from_utf8_lossy(&word));
        stream.write_all(&word).await.map_err(said("write"))?;
    }
    std::future::pending().await
}

async fn one_way(side: Side) -> Outcome {
    let mut stream = side.connect().await?;
    exchange(&mut stream, b"before").await?;
    side.begin_fault().await;
    stream.write_all(b"during").await.map_err(said("write"))?;
    side.noted("during").await;
    let early = side
        .host
        .timeout(Duration::from_millis(100), stream.read_u8())
        .await;
    ensure(
        early.is_err(),
        format!("an answer on the cut way: {early:?}"),
    )?;
    let effect = side.end_fault().await;
    ensure(effect > 0, "the partition counted nothing")
}

async fn lines(side: Side) -> Outcome {
    let mut listener = side.bind().await?;
    let mut stream = listener.accept().await.map_err(said("accept"))?;
    for expected in 0..10 {
        let found = stream.read_u8().await.map_err(said("read"))?;
        side.tick();
        ensure(
            found == expected,
            format!("line {found} in place of {expected}"),
        )?;
    }
    side.note("all lines");
    Ok(())
}

async fn held(side: Side) -> Outcome {
    let mut stream = side.connect().await?;
    side.begin_fault().await;
    for number in 0..10 {
        stream.write_u8(number).await.map_err(said("write"))?;
        side.pause(2).await;
    }
    side.pause(50).await;
    ensure(
        side.ticks() == 0,
        format!("{} lines passed the hold", side.ticks()),
    )?;
    let effect = side.end_fault().await;
    ensure(effect > 0, "the hold counted nothing")?;
    side.noted("all lines").await;
    Ok(())
}

async fn slowed(side: Side) -> Outcome {
    let mut stream = side.connect().await?;
    exchange(&mut stream, b"before").await?;
    let round_trip = async |stream: &mut Stream| -> Result<u128, String> {
        let start = side.host.elapsed();
        exchange(stream, b"during").await?;
        Ok(side.since(start).as_millis())
    };
    side.begin_fault().await;
    let slow = round_trip(&mut stream).await?;
    ensure(
        slow >= u128::from(2 * SLOW_MS),
        format!("{slow} ms there and back"),
    )?;
    let effect = side.end_fault().await;
    ensure(effect >= 2, format!("the slow link counted {effect}"))?;
    let usual = round_trip(&mut stream).await?;
    ensure(
        usual < u128::from(2 * SLOW_MS),
        format!("still {usual} ms after the fault"),
    )
}

async fn inert(side: Side) -> Outcome {
    side.begin_fault().await;
    side.pause(20).await;
    let effect = side.end_fault().await;
    ensure(
        effect == 0,
        format!("nothing was sent, yet {effect} counted"),
    )
}

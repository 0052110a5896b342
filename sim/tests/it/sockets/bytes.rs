//! Bytes on a connection: order, ends, back-pressure.

use std::{io::ErrorKind, time::Duration};

use rehearsal_host::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    connections::{echo, exchange},
    stage::{Behavior, Outcome, Side, ensure, said},
};

pub(super) const BEHAVIORS: &[Behavior] = &[
    Behavior::new(
        "echo",
        |side| Box::pin(hello(side)),
        |side| Box::pin(echo(side)),
    ),
    Behavior::new(
        "a writer waits for a slow reader, and nothing is lost",
        |side| Box::pin(pushing(side)),
        |side| Box::pin(slow(side)),
    ),
    Behavior::new(
        "half a connection can be closed",
        |side| Box::pin(half(side)),
        |side| Box::pin(other_half(side)),
    ),
    Behavior::new(
        "dropping unread bytes resets the peer",
        |side| Box::pin(is_reset(side)),
        |side| Box::pin(dropping(side)),
    ),
    Behavior::new(
        "writing to a closed connection fails in the end",
        |side| Box::pin(writing_on(side)),
        |side| Box::pin(closing(side)),
    ),
    Behavior::new(
        "a writer that waits hears of its reader's end",
        |side| Box::pin(stuck(side)),
        |side| Box::pin(leaving(side)),
    ),
    Behavior::new(
        "small writes arrive in order and whole",
        |side| Box::pin(small_writes(side)),
        |side| Box::pin(collecting(side)),
    ),
    Behavior::new(
        "the end of the stream comes after all bytes",
        |side| Box::pin(reads_all(side)),
        |side| Box::pin(sending(side)),
    ),
    Behavior::new(
        "the end of the stream stays the end",
        |side| Box::pin(reads_again(side)),
        |side| Box::pin(closing(side)),
    ),
    Behavior::new(
        "both sides write at once",
        |side| Box::pin(duplex(side)),
        |side| Box::pin(duplex_server(side)),
    ),
];

/// The byte at a position of a stream: every misplaced or lost piece shows.
fn byte_at(position: usize) -> u8 {
    u8::try_from(position % 251).expect("below 251")
}

fn pattern(from: usize, length: usize) -> Vec<u8> {
    (from..from + length).map(byte_at).collect()
}

async fn accept(side: &Side) -> Result<Stream, String> {
    let mut listener = side.bind().await?;
    listener.accept().await.map_err(said("accept"))
}

/// Reads to the end and checks every byte; how many there were.
async fn read_pattern(stream: &mut (impl AsyncReadExt + Unpin)) -> Result<usize, String> {
    let mut bytes = vec![0; 8192];
    let mut position = 0;
    loop {
        let count = stream.read(&mut bytes).await.map_err(said("read"))?;
        if count == 0 {
            return Ok(position);
        }
        let expected = pattern(position, count);
        ensure(
            bytes[..count] == expected,
            format!("wrong bytes after {position}"),
        )?;
        position += count;
    }
}

async fn hello(side: Side) -> Outcome {
    let mut stream = side.connect().await?;
    exchange(&mut stream, b"hello").await
}

/// More than this much in flight is no back-pressure at all.
const MOST_IN_FLIGHT: usize = 64 << 20;
const AT_LEAST: usize = 1 << 20;

async fn pushing(side: Side) -> Outcome {
    let mut stream = side.connect().await?;
    let mut sent = 0;
    loop {
        ensure(sent < MOST_IN_FLIGHT, "the writer never had to wait")?;
        let piece = pattern(sent, 16_384);
        match side
            .host
            .timeout(Duration::from_millis(60), stream.write(&piece))
            .await
        {
            Ok(count) => sent += count.map_err(said("write"))?,
            Err(_) => break,
        }
    }
    side.note("full");
    while sent < AT_LEAST {
        let piece = pattern(sent, 16_384);
        sent += stream.write(&piece).await.map_err(said("write on"))?;
    }
    stream.shutdown().await.map_err(said("shutdown"))?;
    let received = stream.read_u64().await.map_err(said("read"))?;
    ensure(
        received == sent as u64,
        format!("{sent} bytes sent, {received} received"),
    )
}

async fn stuck(side: Side) -> Outcome {
    let mut stream = side.connect().await?;
    let mut sent = 0;
    loop {
        ensure(sent < MOST_IN_FLIGHT, "the writer never had to wait")?;
        match side
            .host
            .timeout(Duration::from_millis(60), stream.write(&[7; 16_384]))
            .await
        {
            Ok(count) => sent += count.map_err(said("write"))?,
            Err(_) => break,
        }
    }
    let waiting = stream.write_all(&[7; 16_384]);
    side.note("full");
    match side.host.timeout(Duration::from_secs(1), waiting).await {
        Ok(Err(_)) => Ok(()),
        other => Err(format!("expected an error, found {other:?}")),
    }
}

async fn leaving(side: Side) -> Outcome {
    let stream = accept(&side).await?;
    side.noted("full").await;
    drop(stream);
    Ok(())
}

async fn slow(side: Side) -> Outcome {
    let mut stream = accept(&side).await?;
    side.noted("full").await;
    let received = read_pattern(&mut stream).await?;
    stream
        .write_u64(received as u64)
        .await
        .map_err(said("write"))?;
    std::future::pending().await
}

async fn half(side: Side) -> Outcome {
    let mut stream = side.connect().await?;
    stream.write_all(b"question").await.map_err(said("write"))?;
    stream.shutdown().await.map_err(said("shutdown"))?;
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .await
        .map_err(said("read"))?;
    ensure(answer == b"8 bytes", format!("{answer:?}"))?;
    let wrote = stream.write(b"more").await;
    ensure(wrote.is_err(), "wrote after the shutdown")
}

async fn other_half(side: Side) -> Outcome {
    let mut stream = accept(&side).await?;
    let mut question = Vec::new();
    stream
        .read_to_end(&mut question)
        .await
        .map_err(said("read"))?;
    let answer = format!("{} bytes", question.len());
    stream
        .write_all(answer.as_bytes())
        .await
        .map_err(said("write"))
}

async fn is_reset(side: Side) -> Outcome {
    let mut stream = side.connect().await?;
    stream.write_all(&[7; 1024]).await.map_err(said("write"))?;
    side.note("written");
    match stream.read(&mut [0; 16]).await {
        Ok(count) => Err(format!("expected a reset, read {count}")),
        Err(error) => ensure(
            error.kind() == ErrorKind::ConnectionReset,
            format!("{error}"),
        ),
    }
}

async fn dropping(side: Side) -> Outcome {
    let stream = accept(&side).await?;
    side.noted("written").await;
    // Longer than any latency here.
    side.pause(20).await;
    drop(stream);
    Ok(())
}

async fn writing_on(side: Side) -> Outcome {
    let mut stream = side.connect().await?;
    side.noted("closed").await;
    for _ in 0..50 {
        if let Err(error) = stream.write_all(b"anyone?").await {
            let kinds = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
            return ensure(kinds.contains(&error.kind()), format!("{error}"));
        }
        side.pause(5).await;
    }
    Err("50 writes to nobody succeeded".to_owned())
}

async fn closing(side: Side) -> Outcome {
    drop(accept(&side).await?);
    side.note("closed");
    Ok(())
}

/// Lengths from 1 to 17 bytes, 1,000 times.
async fn small_writes(side: Side) -> Outcome {
    let mut stream = side.connect().await?;
    let mut sent = 0;
    for number in 0..1000 {
        let length = 1 + number % 17;
        stream
            .write_all(&pattern(sent, length))
            .await
            .map_err(said("write"))?;
        sent += length;
        if number % 100 == 0 {
            side.pause(1).await;
        }
    }
    stream.shutdown().await.map_err(said("shutdown"))?;
    let received = stream.read_u64().await.map_err(said("read"))?;
    ensure(
        received == sent as u64,
        format!("{sent} bytes sent, {received} received"),
    )
}

async fn collecting(side: Side) -> Outcome {
    let mut stream = accept(&side).await?;
    let received = read_pattern(&mut stream).await?;
    stream
        .write_u64(received as u64)
        .await
        .map_err(said("write"))?;
    std::future::pending().await
}

const LARGE: usize = 100_000;

async fn reads_all(side: Side) -> Outcome {
    let mut stream = side.connect().await?;
    side.noted("listening").await;
    side.pause(30).await;
    let received = read_pattern(&mut stream).await?;
    ensure(received == LARGE, format!("{received} bytes of {LARGE}"))
}

async fn sending(side: Side) -> Outcome {
    let mut stream = accept(&side).await?;
    stream
        .write_all(&pattern(0, LARGE))
        .await
        .map_err(said("write"))
}

async fn reads_again(side: Side) -> Outcome {
    let mut stream = side.connect().await?;
    for time in 0..3 {
        let count = stream.read(&mut [0; 16]).await.map_err(said("read"))?;
        ensure(count == 0, format!("read {time} gave {count} bytes"))?;
    }
    Ok(())
}

async fn both_ways(stream: Stream) -> Outcome {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let write = async {
        writer
            .write_all(&pattern(0, LARGE))
            .await
            .map_err(said("write"))?;
        writer.shutdown().await.map_err(said("shutdown"))
    };
    let (read, wrote) = futures_util::future::join(read_pattern(&mut reader), write).await;
    wrote?;
    let received = read?;
    ensure(received == LARGE, format!("{received} bytes of {LARGE}"))
}

async fn duplex(side: Side) -> Outcome {
    both_ways(side.connect().await?).await?;
    side.noted("server is content").await;
    Ok(())
}

async fn duplex_server(side: Side) -> Outcome {
    both_ways(accept(&side).await?).await?;
    side.note("server is content");
    Ok(())
}

//! Making and ending connections: refusals, order, names and ports.

use std::io::ErrorKind;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::stage::{Behavior, Outcome, Side, ensure, idle, said};

pub(super) const BEHAVIORS: &[Behavior] = &[
    Behavior::new(
        "nobody listens: refused",
        |side| Box::pin(refused(side)),
        idle,
    ),
    Behavior::new(
        "an unknown host is not found",
        |side| Box::pin(unknown(side)),
        idle,
    ),
    Behavior::new(
        "a listener that is gone refuses",
        |side| Box::pin(gone(side)),
        |side| Box::pin(leaving(side)),
    ),
    Behavior::new(
        "a connection is made before it is accepted",
        |side| Box::pin(made(side)),
        |side| Box::pin(late(side)),
    ),
    Behavior::new(
        "connections are accepted in the order they were made",
        |side| Box::pin(in_turn(side)),
        |side| Box::pin(greeter(side)),
    ),
    Behavior::new(
        "simultaneous connections stay apart",
        |side| Box::pin(crowd(side)),
        |side| Box::pin(echo(side)),
    ),
    Behavior::new(
        "a listener outlives its connections",
        |side| Box::pin(again(side)),
        |side| Box::pin(echo(side)),
    ),
    Behavior::new(
        "a port can be bound again once it is dropped",
        |side| Box::pin(again(side)),
        |side| Box::pin(rebinding(side)),
    ),
    Behavior::new(
        "a port has one listener",
        |side| Box::pin(one_listener(side)),
        idle,
    ),
    Behavior::new(
        "port 0 is a port of the machine's choice",
        |side| Box::pin(chosen(side)),
        idle,
    ),
    Behavior {
        third: true,
        ..Behavior::new(
            "two hosts listen on the same port",
            |side| Box::pin(both(side)),
            |side| Box::pin(named(side)),
        )
    },
    Behavior::new("a host reaches itself", |side| Box::pin(itself(side)), idle),
];

/// Answers every connection with what it sends.
pub(super) async fn echo(side: Side) -> Outcome {
    let mut listener = side.bind().await?;
    loop {
        let mut stream = listener.accept().await.map_err(said("accept"))?;
        side.host.spawn(async move {
            let mut bytes = [0; 4096];
            // A connection that breaks is the client's to notice.
            while let Ok(count @ 1..) = stream.read(&mut bytes).await {
                if stream.write_all(&bytes[..count]).await.is_err() {
                    break;
                }
            }
        });
    }
}

/// Sends `word` to an echo and checks the answer.
pub(super) async fn exchange(
    stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin),
    word: &[u8],
) -> Outcome {
    stream.write_all(word).await.map_err(said("write"))?;
    let mut answer = vec![0; word.len()];
    stream.read_exact(&mut answer).await.map_err(said("read"))?;
    ensure(answer == word, format!("sent {word:?}, got {answer:?}"))
}

fn expect_kind<T>(result: std::io::Result<T>, kind: ErrorKind) -> Outcome {
    match result {
        Ok(_) => Err(format!("expected {kind:?}, found success")),
        Err(error) => ensure(
            error.kind() == kind,
            format!("expected {kind:?}, found {:?}: {error}", error.kind()),
        ),
    }
}

async fn refused(side: Side) -> Outcome {
    expect_kind(
        side.host.connect(&side.server).await,
        ErrorKind::ConnectionRefused,
    )
}

async fn unknown(side: Side) -> Outcome {
    expect_kind(side.host.connect("nobody:80").await, ErrorKind::NotFound)
}

async fn gone(side: Side) -> Outcome {
    drop(side.connect().await?);
    side.note("leave");
    side.noted("left").await;
    expect_kind(
        side.host.connect(&side.server).await,
        ErrorKind::ConnectionRefused,
    )
}

async fn leaving(side: Side) -> Outcome {
    let mut listener = side.bind().await?;
    drop(listener.accept().await.map_err(said("accept"))?);
    side.noted("leave").await;
    drop(listener);
    side.note("left");
    Ok(())
}

async fn made(side: Side) -> Outcome {
    let mut streams = Vec::new();
    for number in 0..5 {
        let mut stream = side.connect().await?;
        stream.write_all(&[number]).await.map_err(said("write"))?;
        streams.push(stream);
    }
    side.note("made");
    side.noted("accepted").await;
    Ok(())
}

async fn late(side: Side) -> Outcome {
    let mut listener = side.bind().await?;
    side.noted("made").await;
    for number in 0..5 {
        let mut stream = listener.accept().await.map_err(said("accept"))?;
        let found = stream.read_u8().await.map_err(said("read"))?;
        ensure(
            found == number,
            format!("connection {number} carries {found}"),
        )?;
    }
    side.note("accepted");
    Ok(())
}

async fn in_turn(side: Side) -> Outcome {
    for number in 0..10 {
        let mut stream = side.connect().await?;
        let turn = stream.read_u8().await.map_err(said("read"))?;
        ensure(
            turn == number,
            format!("connection {number} was accepted in turn {turn}"),
        )?;
    }
    Ok(())
}

async fn greeter(side: Side) -> Outcome {
    let mut listener = side.bind().await?;
    for turn in 0.. {
        let mut stream = listener.accept().await.map_err(said("accept"))?;
        stream.write_u8(turn).await.map_err(said("write"))?;
    }
    Ok(())
}

async fn crowd(side: Side) -> Outcome {
    let one = |number: u8| {
        let side = side.clone();
        async move {
            let mut stream = side.connect().await?;
            for round in 0..5 {
                exchange(&mut stream, &[number, round, number]).await?;
            }
            Ok(())
        }
    };
    join_all((0..20).map(one)).await.into_iter().collect()
}

async fn again(side: Side) -> Outcome {
    for round in 0..3 {
        side.noted("listening").await;
        let mut stream = side.connect().await?;
        exchange(&mut stream, &[round]).await?;
        if side.is_noted("takes turns") {
            drop(stream);
            side.noted(&format!("bound {}", round + 1)).await;
        }
    }
    Ok(())
}

async fn rebinding(side: Side) -> Outcome {
    side.note("takes turns");
    for round in 0.. {
        let mut listener = side.bind().await?;
        side.note(&format!("bound {round}"));
        let mut stream = listener.accept().await.map_err(said("accept"))?;
        let byte = stream.read_u8().await.map_err(said("read"))?;
        stream.write_u8(byte).await.map_err(said("write"))?;
    }
    Ok(())
}

async fn one_listener(side: Side) -> Outcome {
    let _first = side.bind().await?;
    expect_kind(side.host.bind(&side.listen).await, ErrorKind::AddrInUse)
}

async fn chosen(side: Side) -> Outcome {
    let any = side
        .listen
        .rsplit_once(':')
        .map(|(host, _)| format!("{host}:0"))
        .unwrap_or_default();
    let first = side.host.bind(&any).await.map_err(said("first bind"))?;
    let second = side.host.bind(&any).await.map_err(said("second bind"))?;
    ensure(
        !first.address().ends_with(":0"),
        format!("listens at {}", first.address()),
    )?;
    ensure(
        first.address() != second.address(),
        "both listen at the same address",
    )
}

async fn both(side: Side) -> Outcome {
    let port = |address: &str| address.rsplit(':').next().map(str::to_owned);
    ensure(port(&side.server) == port(&side.third), "the ports differ")?;
    side.noted("third is up").await;
    for (address, expected) in [(side.server.clone(), b'1'), (side.third.clone(), b'2')] {
        let mut stream = side.host.connect(&address).await.map_err(said("connect"))?;
        let found = stream.read_u8().await.map_err(said("read"))?;
        ensure(
            found == expected,
            format!("{address} answers {found}, expected {expected}"),
        )?;
    }
    Ok(())
}

async fn named(side: Side) -> Outcome {
    let is_third = side.own == side.third;
    let mut listener = side.bind().await?;
    if is_third {
        side.note("third is up");
    }
    loop {
        let mut stream = listener.accept().await.map_err(said("accept"))?;
        let byte = if is_third { b'2' } else { b'1' };
        stream.write_u8(byte).await.map_err(said("write"))?;
    }
}

async fn itself(side: Side) -> Outcome {
    let server = side.clone();
    side.host.spawn(async move {
        // What goes wrong here shows as a client that gets no answer.
        let _ = echo(server).await;
    });
    side.noted("listening").await;
    let mut stream = side
        .host
        .connect(&side.own)
        .await
        .map_err(said("connect"))?;
    exchange(&mut stream, b"to myself").await
}

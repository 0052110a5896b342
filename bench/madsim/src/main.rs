//! TCP echo without idle time on madsim: 16 clients, 200 bytes, one server. Prints the median echoes a second of some rounds.

use std::time::Duration;

use madsim::runtime::Runtime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const CLIENTS: usize = 16;

fn echo(echoes: usize, seed: u64) {
    let mut config = madsim::Config::default();
    config.net.send_latency = Duration::from_millis(1)..Duration::from_millis(10);
    let runtime = Runtime::with_seed_and_config(seed, config);
    runtime.block_on(async move {
        let handle = madsim::runtime::Handle::current();
        let server = handle.create_node().name("server").ip("10.0.0.1".parse().unwrap()).build();
        server.spawn(async {
            let listener = tokio::net::TcpListener::bind("0.0.0.0:80").await.unwrap();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let mut buffer = [0; 256];
                    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                        if stream.write_all(&buffer[..count]).await.is_err() || stream.flush().await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut clients = Vec::new();
        for number in 0..CLIENTS {
            let address = format!("10.0.1.{}", number + 1).parse().unwrap();
            let node = handle.create_node().name(format!("client-{number}")).ip(address).build();
            clients.push(node.spawn(async move {
                let mut stream = tokio::net::TcpStream::connect("10.0.0.1:80").await.unwrap();
                let mut buffer = [0; 200];
                for _ in 0..echoes / CLIENTS {
                    stream.write_all(&[7; 200]).await.unwrap();
                    stream.flush().await.unwrap();
                    stream.read_exact(&mut buffer).await.unwrap();
                }
            }));
        }
        for client in clients {
            client.await.unwrap();
        }
    });
}

fn main() {
    let number = |at: usize, default: usize| std::env::args().nth(at).map_or(default, |text| text.parse().expect("a number"));
    let (echoes, rounds) = (number(1, 16_000), number(2, 11));
    let mut rates: Vec<f64> = (0..rounds)
        .map(|round| {
            let start = std::time::Instant::now();
            echo(echoes, round as u64);
            echoes as f64 / start.elapsed().as_secs_f64()
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    println!("{:.0}", rates[rates.len() / 2]);
}

//! TCP echo without idle time: 16 clients, 200 bytes, one server, on our engine and on turmoil. madsim's rate is measured by bench/echo.sh.

use std::{collections::BTreeMap, time::Duration};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rehearsal_host::Host;
use rehearsal_sim::{
    chance::Chance,
    engine::{Control, Director, Engine, Next, Setup},
    range::Latency,
    scenario::Network,
    system::{Node, Progress},
    trace::Clock,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[global_allocator]
static ALLOCATOR: rehearsal_sim::interpose::Heap = rehearsal_sim::interpose::Heap;

const CLIENTS: u64 = 16;

struct UntilObserved(Progress);

impl Director for UntilObserved {
    fn direct(&mut self, now: Duration, _: &mut dyn Control) -> Next {
        if u64::from(self.0.counts().observed) == CLIENTS {
            Next::Done
        } else {
            Next::At(now + Duration::from_millis(10))
        }
    }
}

async fn serve(host: Host, listen: String) {
    let mut listener = host.bind(&listen).await.expect("a free port");
    while let Ok(mut stream) = listener.accept().await {
        host.spawn(async move {
            let mut buffer = [0; 256];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                if stream.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        });
    }
}

fn echo(engine: Engine, echoes: u64, seed: u64) {
    let names: Vec<String> = std::iter::once("server".to_owned())
        .chain((0..CLIENTS).map(|n| format!("client-{n}")))
        .collect();
    let addresses = engine.addresses(&names).expect("simulated names");
    let progress = Progress::default();
    let mut nodes = Vec::new();
    let listen = addresses["server"].listen.clone();
    nodes.push(Node {
        name: names[0].clone(),
        main: Box::new(move |host, _| Box::pin(serve(host, listen.clone()))),
    });
    for name in &names[1..] {
        let (dial, progress) = (addresses["server"].dial.clone(), progress.clone());
        let main = move |host: Host, _| -> futures_util::future::BoxFuture<'static, ()> {
            let (dial, progress) = (dial.clone(), progress.clone());
            Box::pin(async move {
                let mut stream = host.connect(&dial).await.expect("the server is up");
                let mut buffer = [0; 200];
                for _ in 0..echoes / CLIENTS {
                    stream.write_all(&[7; 200]).await.expect("the server is up");
                    stream
                        .read_exact(&mut buffer)
                        .await
                        .expect("the server is up");
                }
                progress.observed();
                std::future::pending::<()>().await;
            })
        };
        nodes.push(Node {
            name: name.clone(),
            main: Box::new(main),
        });
    }
    let setup = Setup {
        nodes,
        network: Network {
            latency: Latency::UniformMs([1.0, 10.0]),
            ..Network::default()
        },
        chance: Chance::new(seed),
        clock: Clock::default(),
        addresses: BTreeMap::clone(&addresses),
        booted: Box::new(|_, _| {}),
    };
    engine
        .run(setup, &mut UntilObserved(progress))
        .expect("no fault is planned");
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("echo");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(4));
    for (engine, echoes) in [(Engine::Pipes, 16_000), (Engine::Turmoil, 16_000)] {
        group.throughput(Throughput::Elements(echoes));
        group.bench_with_input(
            BenchmarkId::new(engine.name(), echoes),
            &echoes,
            |bencher, echoes| {
                bencher.iter(|| echo(engine, *echoes, 1));
            },
        );
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);

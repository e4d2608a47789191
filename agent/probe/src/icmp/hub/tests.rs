//! The shared socket against a peer that is told what to answer: echoes travel over UDP here, so that loss and forgery can be played.

use std::task::Waker;
use std::thread::JoinHandle;
use std::time::Duration;

use super::*;

/// Far away: a test that gets there hangs visibly.
const LONG_US: u64 = 20_000_000;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn line() -> Arc<Line> {
    Arc::new(Line::for_tests().await)
}

fn soon() -> Monotonic {
    clock::monotonic().plus_us(LONG_US)
}

/// An answer to a request.
fn answered(request: &[u8]) -> Vec<u8> {
    let mut answer = request.to_vec();
    answer[0] = 0;
    answer
}

/// A peer on 127.0.0.1 that is handed `requests` requests, each with its own and another host's socket.
fn peer(
    requests: usize,
    mut behave: impl FnMut(usize, &[u8], SocketAddr, &StdUdpSocket, &StdUdpSocket) + Send + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    let socket = StdUdpSocket::bind("127.0.0.1:0").unwrap();
    let stranger = StdUdpSocket::bind("127.0.0.2:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let address = socket.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let mut buffer = [0; 2000];
        for number in 0..requests {
            let (length, from) = socket.recv_from(&mut buffer).unwrap();
            behave(number, &buffer[..length], from, &socket, &stranger);
        }
    });
    (address, thread)
}

#[test]
fn only_the_answer_to_an_echo_counts_and_only_once() {
    let (address, thread) = peer(1, |_, request, from, socket, stranger| {
        let good = answered(request);
        let send = |socket: &StdUdpSocket, bytes: &[u8]| assert_eq!(socket.send_to(bytes, from).unwrap(), bytes.len());
        send(stranger, &good);
        send(socket, request);
        send(socket, b"");
        send(socket, &good[..7]);
        send(socket, &[&good[..], b"more"].concat());
        for changed in [1, 7, 9, 17] {
            let mut bad = good.clone();
            bad[changed] ^= 1;
            send(socket, &bad);
        }
        // An echo that was never sent.
        let mut bad = good.clone();
        bad[7] = 1;
        bad[17] = 1;
        send(socket, &bad);
        send(socket, &good);
        send(socket, &good);
    });
    runtime().block_on(async {
        let line = line().await;
        let mut echoes = line.begin(address, 56, 2).unwrap();
        echoes.send().await.unwrap();
        thread.join().unwrap();
        // Nothing that came before the good one ended this.
        echoes.wait(soon(), Wanted::All).await.unwrap();
        let seen = echoes.seen();
        assert_eq!(seen.len(), 1);
        let first = seen[0].rtt_us.unwrap();
        assert_eq!(line.state().reader, None);
        // The double is read by the next run that waits, and changes nothing.
        let (other, thread) = peer(1, |_, request, from, socket, _| {
            socket.send_to(&answered(request), from).unwrap();
        });
        let mut more = line.begin(other, 56, 1).unwrap();
        more.send().await.unwrap();
        thread.join().unwrap();
        more.wait(soon(), Wanted::All).await.unwrap();
        assert_eq!(echoes.seen()[0].rtt_us, Some(first));
        drop((echoes, more));
        assert!(line.state().runs.is_empty());
    });
}

#[test]
fn a_late_answer_is_nobodys() {
    let (held, hold) = std::sync::mpsc::channel::<()>();
    let (address, thread) = peer(2, move |number, request, from, socket, _| {
        if number == 0 {
            hold.recv().unwrap();
        }
        socket.send_to(&answered(request), from).unwrap();
    });
    runtime().block_on(async {
        let line = line().await;
        let mut late = line.begin(address, 56, 1).unwrap();
        late.send().await.unwrap();
        late.wait(clock::monotonic().plus_us(1000), Wanted::All).await.unwrap();
        assert_eq!(late.seen()[0].rtt_us, None);
        drop(late);
        held.send(()).unwrap();
        let mut next = line.begin(address, 56, 1).unwrap();
        next.send().await.unwrap();
        next.wait(soon(), Wanted::All).await.unwrap();
        thread.join().unwrap();
        assert!(next.seen()[0].rtt_us.is_some());
    });
}

#[test]
fn the_reader_hands_over_when_it_stops_waiting() {
    let (held, hold) = std::sync::mpsc::channel::<()>();
    let (address, thread) = peer(3, move |number, request, from, socket, _| match number {
        // The first run's is lost.
        0 => {}
        _ => {
            if number == 1 {
                hold.recv().unwrap();
            }
            socket.send_to(&answered(request), from).unwrap();
        }
    });
    runtime().block_on(async {
        let line = line().await;
        let mut runs = Vec::new();
        for _ in 0..3 {
            let mut run = line.begin(address, 56, 1).unwrap();
            run.send().await.unwrap();
            runs.push(run);
        }
        let [first, second, third] = &runs[..] else { unreachable!() };
        let mut waits = [
            Box::pin(first.wait(soon(), Wanted::All)),
            Box::pin(second.wait(soon(), Wanted::All)),
            Box::pin(third.wait(soon(), Wanted::All)),
        ];
        let mut context = Context::from_waker(Waker::noop());
        for wait in &mut waits {
            assert!(wait.as_mut().poll(&mut context).is_pending());
        }
        assert_eq!(line.state().reader, Some(first.nonce));
        let [reader, middle, last] = waits;
        // Its deadline, or its run, is over.
        drop(reader);
        let heir = line.state().reader.expect("somebody reads");
        assert!([second.nonce, third.nonce].contains(&heir));
        // The heir may go before it read anything.
        let (heir, rest) = if heir == second.nonce { (middle, last) } else { (last, middle) };
        drop(heir);
        held.send(()).unwrap();
        thread.join().unwrap();
        rest.await.unwrap();
        assert_eq!(line.state().reader, None);
    });
}

#[test]
fn a_run_that_only_waits_for_its_next_echo_reads_for_the_others() {
    let (address, thread) = peer(2, |number, request, from, socket, _| {
        if number == 1 {
            socket.send_to(&answered(request), from).unwrap();
        }
    });
    runtime().block_on(async {
        let line = line().await;
        let mut reader = line.begin(address, 56, 2).unwrap();
        reader.send().await.unwrap();
        let mut other = line.begin(address, 56, 1).unwrap();
        other.send().await.unwrap();
        thread.join().unwrap();
        let (gap, wait) = (reader.wait(soon(), Wanted::Nothing), other.wait(soon(), Wanted::All));
        tokio::pin!(gap);
        tokio::select! {
            biased;
            _ = &mut gap => panic!("nothing ends the gap but time"),
            done = wait => done.unwrap(),
        }
        assert!(other.seen()[0].rtt_us.is_some());
    });
}

#[test]
fn a_socket_that_fails_tells_all_who_wait() {
    // Its runtime is gone: reading fails.
    let line = runtime().block_on(line());
    let address = "127.0.0.1:9".parse().unwrap();
    runtime().block_on(async {
        let runs = [line.begin(address, 56, 1).unwrap(), line.begin(address, 56, 1).unwrap()];
        let (first, second) =
            tokio::join!(runs[0].wait(soon(), Wanted::Nothing), runs[1].wait(soon(), Wanted::Nothing));
        assert!(first.is_err() && second.is_err(), "{first:?} {second:?}");
        assert!(line.state().broken);
    });
}

#[test]
fn waiting_runs_are_bounded() {
    runtime().block_on(async {
        let line = line().await;
        let address = line.socket.local_addr().unwrap();
        let runs: Vec<Echoes> = (0..RUNS_MAX).map(|_| line.begin(address, 16, 1).unwrap()).collect();
        assert!(line.begin(address, 16, 1).unwrap_err().to_string().contains("wait for echoes already"));
        drop(runs);
        assert!(line.begin(address, 16, 1).is_ok());
    });
}

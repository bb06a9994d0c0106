use super::*;
use crate::chat::Sampling;
use crate::engine::observer::Unobserved;

fn queue(max_queue: usize, slots: usize) -> Arc<Queue> {
    Arc::new(Queue::new(max_queue, slots, Arc::new(Unobserved)))
}

fn request() -> ChatRequest {
    let (messages, stop) = (Vec::new(), Vec::new());
    ChatRequest { messages, sampling: Sampling::default(), max_tokens: None, stop, deadline: None, scope: 0 }
}

#[test]
fn those_that_run_and_those_that_wait_fill_it_together() {
    let queue = queue(2, 1);
    let streams: Vec<_> = (0..3).map(|_| queue.submit(request()).unwrap()).collect();
    assert!(matches!(queue.submit(request()), Err(ChatError::QueueFull { .. })));
    drop(streams);
    queue.submit(request()).unwrap();
}

#[test]
fn arrivals_come_in_order_and_without_those_that_left() {
    let queue = queue(8, 1);
    let mut streams: Vec<_> = (0..3).map(|_| queue.submit(request()).unwrap()).collect();
    drop(streams.remove(1));
    let tickets: Vec<_> = (0..2).map(|_| queue.next_arrival().unwrap().place.ticket).collect();
    assert_eq!(tickets, [Ticket(1), Ticket(3)]);
}

#[test]
fn a_full_queue_says_when_to_come_back() {
    let queue = queue(0, 2);
    let _streams = [queue.submit(request()).unwrap(), queue.submit(request()).unwrap()];
    let retry_after = |queue: &Arc<Queue>| match queue.submit(request()) {
        Err(ChatError::QueueFull { retry_after }) => retry_after.as_secs(),
        other => panic!("it is full: {other:?}"),
    };
    assert_eq!(retry_after(&queue), 5);
    queue.change(|line| line.pace.answered(Duration::from_secs(30)));
    assert_eq!(retry_after(&queue), 15);
}

#[test]
fn a_closed_queue_takes_nothing_and_keeps_nobody_waiting() {
    let queue = queue(8, 1);
    let _stream = queue.submit(request()).unwrap();
    queue.close();
    assert!(matches!(queue.submit(request()), Err(ChatError::Unavailable)));
    assert!(queue.next_arrival().is_none());
    assert!(!queue.wait());
    queue.pause(Duration::from_secs(60));
}

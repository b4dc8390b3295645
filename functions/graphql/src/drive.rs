//! Runs a query and the batches of its DataLoaders in one task: a batch is only looked at when the query itself can't go on,
//! so it holds every key of its level, however long that takes and whatever the other threads do.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures::{
    StreamExt,
    future::{BoxFuture, poll_fn},
    stream::FuturesUnordered,
};

/// Batches that were asked for and not yet begun. A clone is the same list.
#[derive(Clone, Default)]
pub(crate) struct Batches(Arc<Mutex<Vec<BoxFuture<'static, ()>>>>);

impl Batches {
    /// Adds a batch.
    pub(crate) fn add(&self, batch: BoxFuture<'static, ()>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(batch);
    }

    fn take(&self) -> Vec<BoxFuture<'static, ()>> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Runs the query to its end, and in between what it asks for.
pub(crate) async fn drive<T>(query: impl Future<Output = T>, batches: &Batches) -> T {
    let mut query = pin!(query);
    let mut running = FuturesUnordered::new();
    let mut woken: Option<Arc<Woken>> = None;
    poll_fn(|context| {
        let woken = match &mut woken {
            Some(known) if known.task.will_wake(context.waker()) => known,
            other => other.insert(Arc::new(Woken { again: AtomicBool::new(true), task: context.waker().clone() })),
        };
        let waker = Waker::from(woken.clone());
        loop {
            // A long list wakes itself to let others have their turn: it has not come to a stop yet.
            while woken.again.swap(false, Ordering::AcqRel) {
                if let Poll::Ready(done) = query.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return Poll::Ready(done);
                }
            }
            running.extend(batches.take());
            match running.poll_next_unpin(context) {
                // Its end has woken the query.
                Poll::Ready(Some(())) => {}
                Poll::Ready(None) | Poll::Pending if woken.again.load(Ordering::Acquire) => {}
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}

/// Knows whether the query was woken, and wakes the task that runs it.
struct Woken {
    again: AtomicBool,
    task: Waker,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.again.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use futures::{channel::oneshot, future::join_all};

    use super::*;

    /// Asks for a key; whoever asks first makes the batch that answers all that have asked when it is run.
    #[derive(Clone, Default)]
    struct Loader {
        waiting: Arc<Mutex<Vec<oneshot::Sender<usize>>>>,
        batches: Batches,
    }

    impl Loader {
        async fn load(&self) -> usize {
            let (answer, answered) = oneshot::channel();
            let first = {
                let mut waiting = self.waiting.lock().unwrap();
                waiting.push(answer);
                waiting.len() == 1
            };
            if first {
                let waiting = self.waiting.clone();
                self.batches.add(Box::pin(async move {
                    let keys = std::mem::take(&mut *waiting.lock().unwrap());
                    let size = keys.len();
                    for key in keys {
                        key.send(size).unwrap();
                    }
                }));
            }
            answered.await.unwrap()
        }
    }

    /// Lets others go first, as long lists of futures do.
    async fn step_aside() {
        let mut stepped = false;
        poll_fn(|context| {
            if std::mem::replace(&mut stepped, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    #[tokio::test]
    async fn a_batch_holds_every_key_of_its_level_however_often_the_query_lets_others_go_first() {
        let loader = Loader::default();
        let field = async |index: usize| {
            for _ in 0..index % 7 {
                step_aside().await;
            }
            let first = loader.load().await;
            for _ in 0..index % 3 {
                step_aside().await;
            }
            (first, loader.load().await)
        };
        let sizes = drive(join_all((0..500).map(field)), &loader.batches).await;
        assert!(sizes.iter().all(|sizes| *sizes == (500, 500)), "{sizes:?}");
    }

    #[tokio::test]
    async fn a_query_without_batches_just_runs() {
        assert_eq!(drive(async { 1 }, &Batches::default()).await, 1);
    }

    #[tokio::test]
    async fn a_query_that_another_thread_wakes_goes_on() {
        let (send, receive) = oneshot::channel();
        std::thread::spawn(move || send.send(7).unwrap());
        assert_eq!(drive(receive, &Batches::default()).await, Ok(7));
    }
}

use std::{
    future::{pending, ready},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use failsafe::clock;
use futures::FutureExt as _;

use super::*;

const CONFIG: BreakerConfig = BreakerConfig { failures: 3, open: Duration::from_secs(10) };

/// More than a breaker stays open.
const LATER: Duration = Duration::from_millis(10_001);

/// How calls fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// Nobody is there.
    Outage,
    /// Somebody is there, and refuses.
    Refusal,
}

/// A call that ends at once.
fn call(breaker: &Breaker, result: Result<(), Failure>) -> Result<Result<(), Failure>, Open> {
    let called = breaker.call(ready(result), |failure| *failure == Failure::Outage);
    called.now_or_never().expect("it ends at once")
}

fn opened(config: BreakerConfig) -> Breaker {
    let breaker = Breaker::new("test", config);
    for _ in 0..config.failures {
        breaker.admit().unwrap().failed();
    }
    breaker
}

#[test]
fn it_opens_after_so_many_failures_in_a_row_and_not_before() {
    clock::freeze(|_| {
        let breaker = Breaker::new("test", CONFIG);
        for _ in 0..5 {
            assert_eq!(call(&breaker, Err(Failure::Outage)), Ok(Err(Failure::Outage)));
            assert_eq!(call(&breaker, Err(Failure::Outage)), Ok(Err(Failure::Outage)));
            assert_eq!(call(&breaker, Ok(())), Ok(Ok(())));
        }
        for _ in 0..3 {
            assert_eq!(call(&breaker, Err(Failure::Outage)), Ok(Err(Failure::Outage)));
        }
        for _ in 0..5 {
            assert_eq!(call(&breaker, Ok(())), Err(Open("test")));
        }
    });
}

#[test]
fn who_answers_with_an_error_is_there() {
    clock::freeze(|clock| {
        let breaker = Breaker::new("test", CONFIG);
        for _ in 0..10 {
            assert_eq!(call(&breaker, Err(Failure::Refusal)), Ok(Err(Failure::Refusal)));
        }
        let breaker = opened(CONFIG);
        clock.advance(LATER);
        assert_eq!(call(&breaker, Err(Failure::Refusal)), Ok(Err(Failure::Refusal)));
        assert_eq!(call(&breaker, Ok(())), Ok(Ok(())), "a refusal closed it");
    });
}

#[test]
fn one_call_probes_at_a_time_and_a_good_one_closes() {
    clock::freeze(|clock| {
        let breaker = opened(CONFIG);
        clock.advance(CONFIG.open);
        assert!(breaker.admit().is_err(), "not before the time is over");
        clock.advance(Duration::from_millis(1));
        let probe = breaker.admit().unwrap();
        for _ in 0..5 {
            assert!(breaker.admit().is_err(), "another probes already");
        }
        probe.succeeded();
        let many: Vec<_> = (0..20).map(|_| breaker.admit().unwrap()).collect();
        many.into_iter().for_each(Admission::failed);
        assert!(breaker.admit().is_err(), "it counts anew");
    });
}

#[test]
fn a_failed_probe_opens_it_for_as_long_again() {
    clock::freeze(|clock| {
        let breaker = opened(CONFIG);
        for _ in 0..3 {
            clock.advance(LATER);
            breaker.admit().unwrap().failed();
            clock.advance(Duration::from_secs(9));
            assert!(breaker.admit().is_err());
        }
    });
}

#[test]
fn a_cancelled_probe_lets_the_next_call_probe() {
    clock::freeze(|clock| {
        let breaker = opened(CONFIG);
        clock.advance(LATER);
        for _ in 0..3 {
            let mut cancelled = Box::pin(breaker.call(pending::<Result<(), Failure>>(), |_| true));
            assert!(cancelled.as_mut().now_or_never().is_none());
            assert!(breaker.admit().is_err(), "it probes");
        }
        assert_eq!(call(&breaker, Ok(())), Ok(Ok(())));
        assert!(breaker.admit().is_ok() && breaker.admit().is_ok());
    });
}

#[test]
fn of_many_callers_at_once_one_probes() {
    let breaker = opened(BreakerConfig { open: Duration::from_millis(1), ..CONFIG });
    let (at_once, probes) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while probes.load(SeqCst) < 30 {
                    if let Ok(probe) = breaker.admit() {
                        assert_eq!(at_once.fetch_add(1, SeqCst), 0, "two probe at the same time");
                        // Every second one is cancelled.
                        let is_cancelled = probes.fetch_add(1, SeqCst) % 2 == 1;
                        std::thread::yield_now();
                        at_once.fetch_sub(1, SeqCst);
                        if !is_cancelled {
                            probe.failed();
                        }
                    }
                    std::thread::yield_now();
                }
            });
        }
    });
    assert!(probes.into_inner() >= 30);
}

#[test]
fn what_has_to_be_tried_is_tried_and_teaches() {
    clock::freeze(|clock| {
        let breaker = opened(CONFIG);
        let insisted = breaker.insist();
        assert!(!insisted.is_permitted());
        insisted.succeeded();
        assert!(breaker.admit().is_err(), "one good call does not end the pause");
        clock.advance(LATER);
        let probe = breaker.admit().unwrap();
        breaker.insist().succeeded();
        assert!(breaker.admit().is_ok(), "it shows that somebody is there, whoever probes");
        probe.failed();
        assert!(breaker.insist().is_permitted());
    });
}

#[test]
fn settings_that_make_no_sense_are_named_once() {
    let mut source = Source::from_pairs([("CIRCUIT_BREAKER_FAILURES", "0"), ("CIRCUIT_BREAKER_OPEN_MS", "0")]);
    BreakerConfig::read(&mut source);
    BreakerConfig::read(&mut source);
    let problems = source.finish().unwrap_err().0;
    assert_eq!(
        problems,
        ["CIRCUIT_BREAKER_FAILURES: must be 1 or more", "CIRCUIT_BREAKER_OPEN_MS: must be from 1 to 3600000"]
    );
    let config = BreakerConfig::read(&mut Source::default());
    assert_eq!((config, config.failures, config.open), (BreakerConfig::default(), 5, Duration::from_secs(1)));
}

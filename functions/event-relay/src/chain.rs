//! The events of one entity in a batch, in order: what fails holds up what comes after it.

use std::collections::HashMap;

use oms_events::DeadRecord;

use crate::record::{Place, Relayable};

/// What became of an event so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing speaks against it.
    Open,
    /// It was relayed before.
    Repeat,
    /// It will never be taken, for this reason, and is no dead letter yet.
    Refused(String),
    /// It will never be taken, and is a dead letter.
    Buried,
    /// It should come back.
    Failed,
}

#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) event: Relayable,
    /// Where it stands in the batch.
    pub(crate) arrival: usize,
    pub(crate) fate: Fate,
}

impl Step {
    fn dead(&self) -> Option<DeadRecord<'_>> {
        match &self.fate {
            Fate::Refused(reason) => Some(self.event.dead(reason)),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Chain {
    /// The key of the mark.
    pub(crate) entity: String,
    pub(crate) steps: Vec<Step>,
}

impl Chain {
    /// The chains of a batch, in the order of their first events.
    pub(crate) fn by_entity(events: Vec<Relayable>) -> Vec<Self> {
        let mut chains: Vec<Self> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        for (arrival, event) in events.into_iter().enumerate() {
            let entity = event.entity();
            let index = *known.entry(entity).or_insert_with_key(|entity| {
                chains.push(Self { entity: entity.clone(), steps: Vec::new() });
                chains.len() - 1
            });
            chains[index].steps.push(Step { event, arrival, fate: Fate::Open });
        }
        chains
    }

    /// Drops what is not above the mark, or not above what comes before it in the batch; says how many. A redriven
    /// letter goes past the mark, and doesn't move it: earlier versions may still be to come.
    pub(crate) fn start_above(&mut self, mark: Option<Place>) -> u64 {
        let (mut highest, mut repeats) = (mark, 0);
        for index in 0..self.steps.len() {
            let (before, rest) = self.steps.split_at_mut(index);
            let Some(step) = rest.first_mut() else { break };
            let place = step.event.place();
            let repeated = if step.event.redriven {
                before.iter().any(|other| other.fate == Fate::Open && other.event.id() == step.event.id())
            } else {
                highest.is_some_and(|highest| place <= highest)
            };
            if repeated {
                step.fate = Fate::Repeat;
                repeats += 1;
            } else if !step.event.redriven {
                highest = Some(place);
            }
        }
        repeats
    }

    /// Everything that isn't done should come back.
    pub(crate) fn fail(&mut self) {
        for step in self.steps.iter_mut().filter(|step| step.fate == Fate::Open) {
            step.fate = Fate::Failed;
        }
    }

    /// The events before the first failure that go on.
    pub(crate) fn open(&self) -> impl Iterator<Item = usize> + use<> {
        let open = |(index, step): (usize, &Step)| (step.fate == Fate::Open).then_some(index);
        self.sound().iter().enumerate().filter_map(open).collect::<Vec<_>>().into_iter()
    }

    /// The dead letters to be of events whose mark then moves past them. Those after a failure come back anyway, and
    /// would be two letters.
    pub(crate) fn refused(&self) -> Vec<DeadRecord<'_>> {
        self.unburied().filter(|(_, step)| !step.event.redriven).filter_map(|(_, step)| step.dead()).collect()
    }

    /// The same of redriven events: no mark tells that they were letters already.
    pub(crate) fn refused_again(&self) -> Vec<DeadRecord<'_>> {
        self.unburied().filter(|(_, step)| step.event.redriven).filter_map(|(_, step)| step.dead()).collect()
    }

    /// Notes that the first so many of `refused` are letters now. The next one should come back.
    pub(crate) fn bury(&mut self, safe: usize) {
        let refused = self.unburied().filter(|(_, step)| !step.event.redriven).map(|(index, _)| index);
        for (count, index) in refused.take(safe + 1).collect::<Vec<_>>().into_iter().enumerate() {
            self.steps[index].fate = if count < safe { Fate::Buried } else { Fate::Failed };
        }
    }

    /// The step that the mark may move to: the highest before the first failure.
    pub(crate) fn highest(&self) -> Option<usize> {
        let moves = |step: &Step| matches!(step.fate, Fate::Open | Fate::Buried) && !step.event.redriven;
        let steps = self.sound().iter().enumerate().filter(|(_, step)| moves(step));
        steps.max_by_key(|(_, step)| step.event.place()).map(|(index, _)| index)
    }

    /// What should come back: all from the first failure on that is not a repeat.
    pub(crate) fn coming_back(&self) -> impl Iterator<Item = &Relayable> {
        let rest = &self.steps[self.sound().len()..];
        rest.iter().filter(|step| step.fate != Fate::Repeat).map(|step| &step.event)
    }

    fn unburied(&self) -> impl Iterator<Item = (usize, &Step)> {
        self.sound().iter().enumerate().filter(|(_, step)| matches!(step.fate, Fate::Refused(_)))
    }

    fn sound(&self) -> &[Step] {
        let end = self.steps.iter().position(|step| step.fate == Fate::Failed).unwrap_or(self.steps.len());
        &self.steps[..end]
    }
}

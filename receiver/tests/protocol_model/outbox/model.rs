//! The model of the outbox: every step that can be taken from a state, and where it leads.
//!
//! Must never decide what is right: that is in `properties`.

use super::properties;
use super::rules::{Fault, Setup};
use super::world::State;
use stateright::{Model, Property};

/// A step of the world. `at` is a place in `State::requests`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    // The receiver.
    Arrive,
    Gather,
    Flush,
    Complete,
    Send,
    Stand,
    Remove,
    Release,
    Start,
    BeginAgain,
    // Requests and answers.
    Store { at: usize },
    Vanish { at: usize },
    Acknowledge { at: usize },
    // Faults.
    Kill,
    PowerCut { frames: u8, returns: bool },
    LoseAcknowledgement { at: usize },
    CutRequest { at: usize },
    GiveUp { at: usize },
    RestartServer,
    Forget { table: usize },
    ReadFails,
    FlushFails { renamed: bool },
    StandFails { renamed: bool },
    Copy,
    CopyOutboxLater,
    CopyFramesLater,
    Restore { frames: u8 },
    LoseJournal,
}

impl Action {
    /// The fault that this action is, if it is one that is limited in number.
    fn fault(self) -> Option<Fault> {
        let fault = match self {
            Self::Kill => Fault::Kill,
            Self::PowerCut { .. } => Fault::PowerCut,
            Self::LoseAcknowledgement { .. } => Fault::LoseAcknowledgement,
            Self::CutRequest { .. } => Fault::CutRequest,
            Self::GiveUp { .. } => Fault::GiveUp,
            Self::RestartServer => Fault::RestartServer,
            Self::Forget { .. } => Fault::Forget,
            Self::ReadFails | Self::FlushFails { .. } | Self::StandFails { .. } => Fault::DiskError,
            Self::Restore { .. } => Fault::Restore,
            Self::LoseJournal => Fault::LoseJournal,
            _ => return None,
        };
        Some(fault)
    }
}

impl Setup {
    /// Steps that need no fault. Every path of them ends: each one uses up arrivals, frames or requests.
    pub fn progress(&self, state: &State) -> Vec<Action> {
        let mut actions = Vec::new();
        self.reader_actions(state, &mut actions);
        self.server_actions(state, &mut actions);
        actions
    }

    /// Takes a step.
    pub fn step(&self, before: &State, action: Action) -> State {
        let mut state = before.clone();
        if let Some(fault) = action.fault() {
            state.spent[fault as usize] += 1;
        }
        match action {
            Action::Arrive => self.arrive(&mut state),
            Action::Gather => self.gather(&mut state, true),
            Action::Flush => self.flush(&mut state),
            Action::Complete => self.complete_flush(&mut state),
            Action::Send => self.send(&mut state),
            Action::Stand => self.stand(&mut state),
            Action::Remove => self.remove(&mut state),
            Action::Release => self.release(&mut state),
            Action::Start => self.start(&mut state),
            Action::BeginAgain => self.begin_again(&mut state),
            Action::Store { at } => self.store(&mut state, at),
            Action::Vanish { at } | Action::LoseAcknowledgement { at } | Action::CutRequest { at } => {
                state.requests.remove(at);
            }
            Action::Acknowledge { at } => {
                state.requests.remove(at);
                self.acknowledged(&mut state);
            }
            Action::Kill => self.kill(&mut state),
            Action::PowerCut { frames, returns } => self.power_cut(&mut state, frames, returns),
            Action::GiveUp { at } => self.give_up(&mut state, at),
            Action::RestartServer => state.requests.clear(),
            Action::Forget { table } => {
                state.tables[table].window.remove(0);
            }
            Action::ReadFails => self.gather(&mut state, false),
            Action::FlushFails { renamed } => self.flush_fails(&mut state, renamed),
            Action::StandFails { renamed } => self.stand_fails(&mut state, renamed),
            Action::Copy => state.copy = Some((Box::new(state.disk.clone()), false)),
            Action::CopyOutboxLater => self.copy_later(&mut state, true),
            Action::CopyFramesLater => self.copy_later(&mut state, false),
            Action::Restore { frames } => self.restore(&mut state, frames),
            Action::LoseJournal => self.lose_journal(&mut state),
        }
        state
    }
}

impl Model for Setup {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.append(&mut self.progress(state));
        self.fault_actions(state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        Some(self.step(state, action))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let [once, complete, agree, released, standing, outbox] = properties::ALL;
        vec![
            Property::always(once.0, once.1),
            Property::always(complete.0, complete.1),
            Property::always(agree.0, agree.1),
            Property::always(released.0, released.1),
            Property::always(standing.0, standing.1),
            Property::always(outbox.0, outbox.1),
            Property::sometimes(properties::DRAINED, properties::drained),
        ]
    }
}

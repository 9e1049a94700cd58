//! The model: every step that can be taken from a state, and where it leads.
//!
//! Must never decide what is right: that is in `properties`.

use crate::faults::cut_tails;
use crate::properties;
use crate::rules::{Fault, Setup};
use crate::world::State;
use stateright::{Model, Property};

/// A step of the world. `at` is a place in `State::requests`, ranges are named by their first frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    // The receiver.
    Arrive,
    Cut { first: u8, last: u8, shard: u8 },
    Send { first: u8 },
    Settle { first: u8 },
    ResumeCheck,
    Checkpoint,
    Delete,
    Start,
    // Requests and answers.
    Complete { at: usize },
    Vanish { at: usize },
    Acknowledge { at: usize },
    ShardBack { shard: u8 },
    // Faults.
    Kill,
    PowerCut { frames: u8, records: u8 },
    LoseAcknowledgement { at: usize },
    CutRequest { at: usize },
    GiveUp { at: usize },
    RestartServer,
    UpgradeServer,
    Forget { shard: u8 },
    TenMinutes,
    Upgrade,
    Copy,
    Restore { frames: u8, records: u8 },
    LoseJournal,
    ClockBack,
    ServerLosesRows { shard: u8 },
    ShardAway { shard: u8 },
    Rename { shard: u8 },
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
            Self::UpgradeServer => Fault::UpgradeServer,
            Self::Forget { .. } => Fault::Forget,
            Self::TenMinutes => Fault::TenMinutes,
            Self::Upgrade => Fault::Upgrade,
            Self::Restore { .. } => Fault::Restore,
            Self::LoseJournal => Fault::LoseJournal,
            Self::ClockBack => Fault::ClockBack,
            Self::ServerLosesRows { .. } => Fault::ServerLosesRows,
            Self::ShardAway { .. } => Fault::ShardAway,
            Self::Rename { .. } => Fault::Rename,
            _ => return None,
        };
        Some(fault)
    }
}

impl Setup {
    /// Steps that need no fault. Every path of them ends: each one uses up arrivals, frames or requests.
    pub fn progress(&self, state: &State) -> Vec<Action> {
        let mut actions = Vec::new();
        self.receiver_actions(state, &mut actions);
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
            Action::Cut { first, last, shard } => self.cut(&mut state, first, last, shard),
            Action::Send { first } => self.send(&mut state, first),
            Action::Settle { first } => self.settle(&mut state, first),
            Action::ResumeCheck => self.resume_check(&mut state),
            Action::Checkpoint => self.checkpoint(&mut state),
            Action::Delete => self.delete(&mut state),
            Action::Start => self.start(&mut state),
            Action::Complete { at } => self.complete(&mut state, at),
            Action::Vanish { at } => {
                state.requests.remove(at);
            }
            Action::Acknowledge { at } => {
                let request = state.requests.remove(at);
                self.acknowledged(&mut state, request);
            }
            Action::ShardBack { shard } => state.shards[usize::from(shard)].away = false,
            Action::Kill => self.kill(&mut state),
            Action::PowerCut { frames, records } => {
                self.kill(&mut state);
                cut_tails(&mut state.disk, frames, records);
            }
            Action::LoseAcknowledgement { at } | Action::CutRequest { at } => {
                self.drop_request(&mut state, at)
            }
            Action::GiveUp { at } => self.give_up(&mut state, at),
            Action::RestartServer => self.restart_server(&mut state),
            Action::UpgradeServer => self.upgrade_server(&mut state),
            Action::Forget { shard } => {
                state.shards[usize::from(shard)].window.remove(0);
            }
            Action::TenMinutes => self.ten_minutes(&mut state),
            Action::Upgrade => state.version += 1,
            Action::Copy => state.copy = Some(Box::new(state.disk.clone())),
            Action::Restore { frames, records } => self.restore(&mut state, frames, records),
            Action::LoseJournal => self.lose_journal(&mut state),
            Action::ClockBack => state.clock = state.clock.saturating_sub(2).max(1),
            Action::ServerLosesRows { shard } => self.server_loses_rows(&mut state, shard),
            Action::ShardAway { shard } => self.shard_away(&mut state, shard),
            Action::Rename { shard } => state.shards[usize::from(shard)].renamed = true,
        }
        state
    }
}

impl Model for Setup {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.append(&mut self.progress(state));
        self.fault_actions(state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        Some(self.step(state, action))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(properties::ONCE, properties::once),
            Property::always(properties::COMPLETE, properties::complete_at_rest),
            Property::always(properties::DELETED, properties::deleted_is_done),
            Property::always(properties::DONE, properties::done_is_stored),
            Property::always(properties::LEDGER, properties::ledger_balances),
            Property::always(properties::OTHERS, properties::others_go_on),
            Property::sometimes(properties::DRAINED, properties::drained),
        ]
    }
}

use super::{Definition, Strike, split};
use crate::plan::FaultKind;
use crate::world::{Pending, World};

pub(super) const FAULT: Definition = Definition {
    name: "flap",
    what: "a split that comes and goes, again and again",
    needs_up: false,
    destroys: false,
    strike: |world, strike| world.flap_on(strike, 0, world.now + strike.hold_ns),
    lift: Some(|world, strike| world.network.lift(strike.id)),
};

impl World {
    /// The next state of a flapping split: cut at even turns, whole at odd ones.
    pub(crate) fn flap(&mut self, fault: u32, turn: u64, until_ns: u64) {
        if self.core.is_none()
            && self.now < until_ns
            && let Some((strike, _)) = self.nemesis.struck.get(&fault).cloned()
        {
            self.flap_on(&strike, turn, until_ns);
        }
    }

    fn flap_on(&mut self, strike: &Strike, turn: u64, until_ns: u64) {
        let FaultKind::Flap { direction, period_ns, .. } = strike.kind else { return };
        if turn.is_multiple_of(2) {
            split::cut(self, strike, direction);
        } else {
            self.network.lift(strike.id);
        }
        let after = strike.dice.dice(turn + 1).between(period_ns / 2, period_ns / 2 * 3).max(1);
        let id = u64::from(strike.id) << 20 | turn & 0xf_ffff | 9 << 60;
        self.queue.push(self.now + after, id, Pending::Flap { fault: strike.id, turn: turn + 1, until_ns });
    }
}

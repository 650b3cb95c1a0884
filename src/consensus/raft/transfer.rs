//! **Leadership transfer** (thesis §3.10): a leader that is to go hands over to a follower that has everything, so that nobody
//! has to lose patience first.
//!
//! The leader takes no more proposals, sends its follower what it lacks, and when all of it is acknowledged tells it to campaign
//! at once ([`Body::TimeoutNow`]). The follower asks for votes in a way that those who hear the old leader grant, too
//! ([`Body::VoteNow`]): it speaks for that leader. It is an election like any other, so no safety rests on any of this; if it
//! does not come about within an election time-out the leader goes on.
//!
//! # Invariants
//! - Who is told to campaign holds, durably, everything that the leader does, and the leader appends nothing afterwards while
//!   the transfer lasts.
//! - Only the leader of the own era is believed: what it said in an earlier one (jraft and others have taken a late one for
//!   new) starts nothing.
//!
//! # Caveats
//! - A follower whose messages are lost costs the group an election time-out without proposals.
//! - Who has called a successor reads by no lease any more in this era, whatever becomes of it: when the call arrives nobody knows.

use super::core::{Core, Promise};
use super::leader::Leader;
use super::message::Body;
use crate::types::{Instant, NodeId};
use crate::{planted, sometimes};

/// A hand-over under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    /// To whom.
    pub(super) to: NodeId,
    /// When it is given up.
    pub(super) deadline: Instant,
    /// It has been told to campaign.
    pub(super) told: bool,
}

impl Leader {
    /// Begins to hand over: to `to`, or to whoever is nearest to having everything. `None`: there is nobody, or it is under way.
    pub(super) fn transfer(&mut self, core: &mut Core, to: Option<NodeId>) -> Option<NodeId> {
        if self.transfer.is_some() {
            return None;
        }
        let lately = core.settings.election_timeout;
        let to = self
            .followers
            .iter()
            .filter(|(peer, follower)| to.is_none_or(|to| to == **peer) && !follower.recovering)
            // Not to who has no voice, nor to who is about to lose it.
            .filter(|(peer, _)| core.membership().voters.contains(peer))
            .filter(|(_, follower)| core.now.since(follower.heard) < lately)
            .max_by_key(|(_, follower)| follower.matched)
            .map(|(peer, _)| *peer)?;
        sometimes!("raft.transfer_begun");
        self.transfer = Some(Transfer { to, deadline: core.now + lately, told: false });
        self.advance_transfer(core);
        Some(to)
    }

    /// Tells the successor to campaign as soon as it has everything.
    pub(super) fn advance_transfer(&mut self, core: &mut Core) {
        let Some(transfer) = &mut self.transfer else { return };
        let has_all = self.followers.get(&transfer.to).is_some_and(|follower| follower.matched == core.log.last());
        // Planted 160: the successor is told before it has everything.
        if (has_all || planted!(160)) && !transfer.told {
            transfer.told = true;
            self.lease_given_up = true;
            core.send(transfer.to, Promise::Era, Body::TimeoutNow);
        }
    }

    /// Gives up a transfer that takes too long.
    pub(super) fn transfer_timeout(&mut self, core: &mut Core) {
        if self.transfer.is_some_and(|transfer| core.now >= transfer.deadline) {
            sometimes!("raft.transfer_given_up");
            self.transfer = None;
            // Planted 241: it goes on as before, and the call may still arrive.
            self.lease_given_up &= !planted!(241);
            // It has waited for the transfer.
            self.settle_change(core);
        }
    }
}

//! Who belongs to a group is one history, too:
//!
//! - *agreement*: a configuration that anybody takes for settled is the same to all who do;
//! - *a voice for who holds the log*: no leader gives a voice to a member that lacks most of what is committed: until that one
//!   had caught up, it would be missing in every majority.

use super::{Broken, name};
use orrery::consensus::{Membership, Role, Status};
use orrery::types::NodeId;
use std::collections::BTreeMap;

/// Entries that a member may lack when it is given a voice: more than the product allows, for it may have lost some since.
const SLACK: u64 = 1024;

/// What is known of one group.
#[derive(Debug, Default)]
pub(super) struct Memberships {
    /// Each settled configuration, with who first showed it.
    settled: BTreeMap<u64, (Membership, usize)>,
    /// The configuration that each leader last showed.
    led: BTreeMap<usize, u64>,
}

impl Memberships {
    /// Looks at a member whose status has changed. `others`: last index of each member that is up, as far as it is known.
    pub(super) fn check(
        &mut self,
        at: usize,
        now: Status,
        membership: &Membership,
        last: impl Fn(NodeId) -> Option<u64>,
    ) -> Result<(), Broken> {
        if now.settled && !membership.is_unknown() {
            let (known, by) = self.settled.entry(membership.id).or_insert_with(|| (membership.clone(), at));
            if known != membership {
                let message = format!("{} settles {membership:?}, and {} has settled {known:?}", name(at), name(*by));
                return Err(Broken("membership", "two memberships of one configuration".to_owned(), message));
            }
        }
        if now.role != Role::Leader {
            self.led.remove(&at);
            return Ok(());
        }
        let before = self.led.insert(at, membership.id);
        if before.is_none_or(|before| before == membership.id) {
            return Ok(());
        }
        let gains = membership.voters.iter().filter(|voter| !membership.outgoing.contains(voter));
        for voter in gains.filter(|_| membership.is_joint()) {
            let Some(has) = last(*voter) else { continue };
            if has == 0 || has + SLACK < now.committed.0 {
                let message =
                    format!("{} gives a voice to {voter}, which has the log to @{has} of {}", name(at), now.committed);
                return Err(Broken("membership", "a voice for who lacks the log".to_owned(), message));
            }
        }
        Ok(())
    }
}

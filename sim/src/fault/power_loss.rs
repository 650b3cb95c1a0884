use super::Definition;

pub(super) const FAULT: Definition = Definition {
    name: "power_loss",
    what: "the machine loses power: the process ends, and unsynced writes and names are kept, lost or torn",
    needs_up: false,
    destroys: false,
    strike: |world, strike| world.crash(strike, "power loss", true),
    lift: None,
};

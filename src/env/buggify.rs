//! Rare but legal behaviour on demand, and the planted bugs that hang on the same seam.
//!
//! `buggify` lets the product help the simulator to be nasty: at a named point the worker asks whether to do the rare
//! thing that it must be able to bear (send a batch of one, flush early, answer "not leader"). Production always says no.
//!
//! A *planted bug* (`planted!(22)`) is a real bug of a real system, restated as a mutation of ours, which a checker of
//! the simulator must catch (`sim/src/planted.rs` names who). They are compiled in only with the feature `mutants`,
//! and this file holds the only `cfg` of `src/` that knows of it. Machines have no environment at hand, so the active
//! set is a thread's: the simulator runs each seed in a thread of its own.

/// Asks at a named point whether to do the rare but legal thing.
pub trait Buggify {
    /// `true` rarely in simulation, never in production.
    fn buggify(&mut self, point: &'static str) -> bool;
}

#[cfg(feature = "mutants")]
std::thread_local! {
    static ACTIVE: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// Are planted bugs compiled into this binary?
pub const MUTANTS: bool = cfg!(feature = "mutants");

/// Switches one planted bug on for this thread, or all off with 0. Without the feature `mutants` there are none: `false`.
pub fn plant(id: u32) -> bool {
    #[cfg(feature = "mutants")]
    ACTIVE.with(|active| active.set(id));
    let _ = id;
    MUTANTS
}

/// Is this planted bug on? Constant `false` without the feature `mutants`. Use [`planted!`](crate::planted).
#[inline]
#[must_use]
pub fn is_planted(id: u32) -> bool {
    #[cfg(feature = "mutants")]
    return ACTIVE.with(|active| active.get() == id);
    #[cfg(not(feature = "mutants"))]
    {
        let _ = id;
        false
    }
}

/// Is any planted bug on? An assertion beside a mutation asks this and holds its tongue: a planted bug must be caught by
/// a checker, not by us. Constant `false` without the feature `mutants`.
#[inline]
#[must_use]
pub fn is_any_planted() -> bool {
    #[cfg(feature = "mutants")]
    return ACTIVE.with(|active| active.get() != 0);
    #[cfg(not(feature = "mutants"))]
    false
}

/// `planted!(22)`: is the planted bug of that number on? Numbers are those of `sim/src/planted.rs`.
#[macro_export]
macro_rules! planted {
    ($id:literal) => {
        $crate::env::buggify::is_planted($id)
    };
}

//! Panics of the product, caught and told apart from those of the simulator.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

/// A panic of the product.
#[derive(Clone, Debug, Default)]
pub(super) struct Panic {
    /// File and line.
    pub(super) place: String,
    /// Its words.
    pub(super) message: String,
}

#[allow(clippy::disallowed_macros, reason = "the panic hook is the process's; this tells whose panic it is")]
mod storage {
    use super::{Panic, RefCell};
    std::thread_local! {
        /// `Some` while the product runs on this thread.
        pub(super) static CAUGHT: RefCell<Option<Panic>> = const { RefCell::new(None) };
    }
}

/// Runs a piece of the product. Its panic is noted, not printed.
pub(super) fn catch<T>(product: impl FnOnce() -> T) -> Result<T, Panic> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let outer = take_hook();
        set_hook(Box::new(move |info| {
            let ours = storage::CAUGHT.with(|caught| {
                let mut caught = caught.borrow_mut();
                let Some(panic) = caught.as_mut() else { return false };
                panic.place = info.location().map_or_else(String::new, |at| format!("{}:{}", at.file(), at.line()));
                panic.message = info.payload_as_str().unwrap_or("(no words)").to_owned();
                true
            });
            if !ours {
                outer(info);
            }
        }));
    });
    storage::CAUGHT.with(|caught| *caught.borrow_mut() = Some(Panic::default()));
    let result = catch_unwind(AssertUnwindSafe(product));
    let panic = storage::CAUGHT.with(|caught| caught.borrow_mut().take());
    result.map_err(|_| panic.unwrap_or_default())
}

impl Panic {
    /// The same for all panics of one cause: the file and the words without their numbers.
    pub(super) fn kind(&self) -> String {
        let file = self.place.split(':').next().unwrap_or_default();
        let words: String = self.message.chars().filter(|c| !c.is_ascii_digit()).take(80).collect();
        format!("{file}: {words}")
    }
}

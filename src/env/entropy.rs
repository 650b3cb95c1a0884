/// Dice.
pub trait Entropy {
    /// Seed of a generator for one use, named by `label`. The same label never yields the same seed twice in one life
    /// and seeds of different labels are independent, so that one use drawing more moves no other.
    ///
    /// Production draws from the operating system; the simulator from the run's seed, the node, its life and the label.
    fn seed(&mut self, label: &'static str) -> [u8; 32];
}

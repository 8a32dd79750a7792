//! How much work a condition may cause, counted and not timed: whatever it looks at is paid for before it is looked at.

use super::error::EvalError;

/// The steps that are left.
#[derive(Debug)]
pub(super) struct Fuel(usize);

impl Fuel {
    pub(super) const fn new(steps: usize) -> Self {
        Self(steps)
    }

    pub(super) const fn left(&self) -> usize {
        self.0
    }

    /// Takes so many steps; once there are not enough of them, none is left.
    pub(super) fn burn(&mut self, steps: usize) -> Result<(), EvalError> {
        match self.0.checked_sub(steps) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => {
                self.0 = 0;
                Err(EvalError::TooManySteps)
            }
        }
    }
}

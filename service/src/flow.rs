//! How much at once, how often again, and when to wait: the budgets and the patience of the process.

pub mod hosts;
pub mod limits;
pub mod outage;
pub mod retry;

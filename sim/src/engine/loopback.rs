//! (being written)
use super::{Director, EngineError, Setup};
pub(crate) fn run(_: Setup, _: &mut dyn Director) -> Result<(), EngineError> { Err(EngineError::Broken("not yet".to_owned())) }
pub(crate) fn addresses(_: &[String]) -> Result<std::collections::BTreeMap<String, crate::system::Address>, EngineError> { Err(EngineError::Broken("not yet".to_owned())) }

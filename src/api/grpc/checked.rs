//! What is wrong with a request that would change something is kept in the audit log too: it was asked for, and refused.

use crate::domain::call::Call;
use crate::domain::refusal::Refusal;
use crate::service::arguments::Caller;
use crate::service::use_cases::UseCases;

/// The validated request, or its refusal once that is recorded.
pub async fn checked<T: Send>(
    use_cases: &dyn UseCases,
    caller: &Caller,
    call: Call,
    validated: Result<T, Refusal>,
) -> Result<T, Refusal> {
    match validated {
        Ok(asked) => Ok(asked),
        Err(refusal) => {
            use_cases.refused(caller, call, &refusal).await;
            Err(refusal)
        }
    }
}

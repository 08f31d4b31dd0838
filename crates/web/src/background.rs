//! What goes on beside the requests: following the default model, forgetting old predictions,
//! noticing dead runs.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::error::ApiError;
use crate::state::AppState;

/// How often the default model's alias is looked up.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);
/// How often runs and jobs are looked through for those whose process died.
const RECOVER_INTERVAL: Duration = Duration::from_secs(15);
/// How often predictions that are too old are deleted.
const RETENTION_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Starts the tasks; dropping the answer ends them.
pub(crate) fn start(state: &AppState) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(follow_default(state.clone()));
    tasks.spawn(every(RECOVER_INTERVAL, state.clone(), recover_dead));
    if state.retention_days.is_some() {
        tasks.spawn(every(RETENTION_INTERVAL, state.clone(), forget_old));
    }
    tasks
}

/// Does it now and after each interval, never twice at once.
async fn every<F: Future<Output = ()>>(
    interval: Duration,
    state: AppState,
    work: impl Fn(AppState) -> F,
) {
    loop {
        work(state.clone()).await;
        tokio::time::sleep(interval).await;
    }
}

/// Renews the default model when its alias moves. What keeps it from that is told once.
async fn follow_default(state: AppState) {
    let mut told: Option<ApiError> = None;
    loop {
        tokio::time::sleep(FOLLOW_INTERVAL).await;
        let problem = state.models.refresh_default().await.err();
        if let Some(error) = problem.as_ref().filter(|_| problem != told) {
            tracing::warn!(%error, "the default model is not renewed; the one before goes on answering");
        }
        told = problem;
    }
}

async fn recover_dead(state: AppState) {
    match state.store.recover_dead().await {
        Ok(recovered) if !recovered.runs.is_empty() => {
            tracing::info!(runs = ?recovered.runs, "runs whose process died are marked as interrupted");
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "dead runs cannot be looked for"),
    }
}

async fn forget_old(state: AppState) {
    let Some(days) = state.retention_days else {
        return;
    };
    match state.store.apply_retention(days).await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, days, "old predictions were deleted"),
        Err(error) => tracing::warn!(%error, "old predictions are not deleted"),
    }
}

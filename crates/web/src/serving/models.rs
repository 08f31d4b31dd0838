//! Models in memory: loaded when first asked for, shared by all requests, and the default one
//! followed when its alias moves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use ferrotype_core::id::ModelVersionId;
use ferrotype_core::name::{Reference, Selector};
use ferrotype_inference::{Model, RuntimeChoice};
use ferrotype_store::{ModelVersion, Store, StoreError, StoreErrorKind};
use tokio::sync::OnceCell;

use crate::error::{ApiError, ErrorKind};

/// How long a reference is taken to mean the same version.
const RESOLVED_FOR: Duration = Duration::from_secs(1);
/// Models kept in memory beside the default one.
const MOST_LOADED: usize = 8;
/// How long a version that could not be loaded is not tried again.
const FAILED_FOR: Duration = Duration::from_secs(10);
/// Failures remembered.
const MOST_FAILED: usize = 64;
/// References remembered.
const MOST_RESOLVED: usize = 256;
/// Threads of a network: all cores. Runs of the same model share them, so that fewer would leave
/// cores idle.
const NETWORK_THREADS: usize = 0;
/// The alias that is taken when the only model is served unnamed.
const PRODUCTION: &str = "production";

/// A model version in memory.
#[derive(Debug)]
pub(crate) struct LoadedModel {
    pub(crate) version: ModelVersion,
    pub(crate) network: Model,
}

type LoadedCell = Arc<OnceCell<Arc<LoadedModel>>>;

struct Slot {
    cell: LoadedCell,
    last_used: Instant,
}

/// The models of this server.
pub(crate) struct Models {
    store: Store,
    runtime: RuntimeChoice,
    configured: Option<Reference>,
    default: RwLock<Option<Arc<LoadedModel>>>,
    resolved: Mutex<HashMap<Reference, (ModelVersionId, Instant)>>,
    loaded: Mutex<HashMap<ModelVersionId, Slot>>,
    failed: Mutex<HashMap<ModelVersionId, (ApiError, Instant)>>,
}

impl Models {
    pub(crate) fn new(store: Store, configured: Option<Reference>, runtime: RuntimeChoice) -> Self {
        Self {
            store,
            runtime,
            configured,
            default: RwLock::default(),
            resolved: Mutex::default(),
            loaded: Mutex::default(),
            failed: Mutex::default(),
        }
    }

    /// The reference that was configured for requests that name no model.
    pub(crate) fn configured(&self) -> Option<&Reference> {
        self.configured.as_ref()
    }

    /// The model for requests that name none, if there is one.
    pub(crate) fn default_model(&self) -> Option<Arc<LoadedModel>> {
        let default = self.default.read().unwrap_or_else(PoisonError::into_inner);
        default.clone()
    }

    /// The model a request names, or the default one.
    pub(crate) async fn get(
        &self,
        reference: Option<&Reference>,
    ) -> Result<Arc<LoadedModel>, ApiError> {
        match reference {
            Some(reference) => self.named(reference).await,
            None => self.default_model().ok_or_else(|| self.no_default()),
        }
    }

    /// Whether a version is in memory.
    pub(crate) fn is_loaded(&self, id: ModelVersionId) -> bool {
        let default = self.default_model();
        default.is_some_and(|model| model.version.id == id)
            || lock(&self.loaded)
                .get(&id)
                .is_some_and(|slot| slot.cell.initialized())
    }

    async fn named(&self, reference: &Reference) -> Result<Arc<LoadedModel>, ApiError> {
        if let Some(model) = self.remembered(reference) {
            return Ok(model);
        }
        let version = self
            .store
            .model_version(reference)
            .await
            .map_err(ApiError::of_model)?;
        self.remember(reference, version.id);
        self.load(version).await
    }

    fn remembered(&self, reference: &Reference) -> Option<Arc<LoadedModel>> {
        let id = lock(&self.resolved)
            .get(reference)
            .filter(|(_, at)| at.elapsed() < RESOLVED_FOR)
            .map(|(id, _)| *id)?;
        self.in_memory(id)
    }

    fn remember(&self, reference: &Reference, id: ModelVersionId) {
        let mut resolved = lock(&self.resolved);
        if resolved.len() >= MOST_RESOLVED {
            resolved.clear();
        }
        resolved.insert(reference.clone(), (id, Instant::now()));
    }

    fn in_memory(&self, id: ModelVersionId) -> Option<Arc<LoadedModel>> {
        if let Some(default) = self.default_model().filter(|model| model.version.id == id) {
            return Some(default);
        }
        let mut loaded = lock(&self.loaded);
        let slot = loaded.get_mut(&id)?;
        slot.last_used = Instant::now();
        slot.cell.get().cloned()
    }

    /// Loads a version, once even when many requests ask for it together.
    async fn load(&self, version: ModelVersion) -> Result<Arc<LoadedModel>, ApiError> {
        let id = version.id;
        if let Some(model) = self.in_memory(id) {
            return Ok(model);
        }
        if let Some(error) = self.recent_failure(id) {
            return Err(error);
        }
        let loaded = self.load_anew(version).await;
        if let Err(error) = &loaded {
            self.remember_failure(id, error);
        }
        loaded
    }

    /// Reading and checking a file again for every request would cost more than answering it.
    fn recent_failure(&self, id: ModelVersionId) -> Option<ApiError> {
        lock(&self.failed)
            .get(&id)
            .filter(|(_, at)| at.elapsed() < FAILED_FOR)
            .map(|(error, _)| error.clone())
    }

    fn remember_failure(&self, id: ModelVersionId, error: &ApiError) {
        let mut failed = lock(&self.failed);
        if failed.len() >= MOST_FAILED {
            failed.clear();
        }
        failed.insert(id, (error.clone(), Instant::now()));
    }

    async fn load_anew(&self, version: ModelVersion) -> Result<Arc<LoadedModel>, ApiError> {
        let cell = self.cell(version.id);
        let store = self.store.clone();
        let runtime = self.runtime;
        let model = cell
            .get_or_try_init(|| async move {
                tokio::task::spawn_blocking(move || read_and_load(&store, version, runtime))
                    .await
                    .map_err(ApiError::internal)?
            })
            .await?;
        Ok(Arc::clone(model))
    }

    /// The version's place in memory; the one that was not used for longest makes room.
    fn cell(&self, id: ModelVersionId) -> LoadedCell {
        let mut loaded = lock(&self.loaded);
        if !loaded.contains_key(&id)
            && loaded.len() >= MOST_LOADED
            && let Some(oldest) = loaded
                .iter()
                .min_by_key(|(_, slot)| slot.last_used)
                .map(|(id, _)| *id)
        {
            loaded.remove(&oldest);
        }
        let slot = loaded.entry(id).or_insert_with(|| Slot {
            cell: LoadedCell::default(),
            last_used: Instant::now(),
        });
        slot.last_used = Instant::now();
        Arc::clone(&slot.cell)
    }

    /// Looks which version the default reference means now, and loads it if that changed. When it
    /// cannot be loaded, the one before goes on answering.
    pub(crate) async fn refresh_default(&self) -> Result<(), ApiError> {
        let before = self.default_model();
        let Some(version) = self.default_version().await? else {
            self.set_default(None);
            return Ok(());
        };
        if before
            .as_ref()
            .is_some_and(|model| model.version.id == version.id)
        {
            return Ok(());
        }
        let model = self.load(version).await?;
        tracing::info!(
            model = %model.version.reference(),
            runtime = model.network.runtime_name(),
            "this model answers requests that name none"
        );
        self.set_default(Some(model));
        Ok(())
    }

    fn set_default(&self, model: Option<Arc<LoadedModel>>) {
        let mut default = self.default.write().unwrap_or_else(PoisonError::into_inner);
        *default = model;
    }

    async fn default_version(&self) -> Result<Option<ModelVersion>, StoreError> {
        let found = match &self.configured {
            Some(reference) => self.store.model_version(reference).await,
            None => return self.only_model().await,
        };
        match found {
            Ok(version) => Ok(Some(version)),
            Err(error) if error.kind() == StoreErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn only_model(&self) -> Result<Option<ModelVersion>, StoreError> {
        let models = self.store.models().await?;
        let [model] = models.as_slice() else {
            return Ok(None);
        };
        let in_production = model
            .versions
            .iter()
            .find(|version| version.aliases.iter().any(|alias| alias == PRODUCTION));
        Ok(in_production.or_else(|| model.versions.first()).cloned())
    }

    fn no_default(&self) -> ApiError {
        match &self.configured {
            Some(reference) => ApiError::new(
                ErrorKind::NoModel,
                format!("the model `{reference}` is not in the store any more"),
            )
            .with_hint(match &reference.selector {
                Selector::Alias(alias) => format!(
                    "point the alias at a version: `ferrotype models alias {}@v1 {alias}`",
                    reference.name
                ),
                _ => "register it again, or name another one with `?model=NAME`".to_string(),
            }),
            None => ApiError::new(
                ErrorKind::NoModel,
                "no model is chosen to answer requests that name none",
            )
            .with_hint(
                "name one with `?model=NAME`, or start the server with `--model NAME@production`; `GET /models` lists what there is",
            ),
        }
    }
}

fn read_and_load(
    store: &Store,
    version: ModelVersion,
    runtime: RuntimeChoice,
) -> Result<Arc<LoadedModel>, ApiError> {
    let unusable = |message: String, hint: Option<String>| {
        let error = ApiError::new(
            ErrorKind::ModelUnusable,
            format!(
                "the model `{}` cannot be used: {message}",
                version.reference()
            ),
        );
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    };
    let onnx = store
        .blobs()
        .verified_file(&version.onnx)
        .map_err(|error| unusable(error.to_string(), error.hint()))?;
    let started = Instant::now();
    let network =
        Model::load_with_manifest(&onnx, version.manifest.clone(), runtime, NETWORK_THREADS)
            .map_err(|error| unusable(error.to_string(), error.hint()))?;
    tracing::debug!(
        model = %version.reference(),
        elapsed_ms = started.elapsed().as_secs_f64() * 1e3,
        "loaded"
    );
    Ok(Arc::new(LoadedModel { version, network }))
}

/// A panic while holding the lock leaves the map as it was: it may be used on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

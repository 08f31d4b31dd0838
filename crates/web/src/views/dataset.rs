//! Datasets: versions, splits, and what their pictures look like.

use ferrotype_data::{ClassCounts, summary};
use ferrotype_store::{DatasetVersion, Store};
use serde::Serialize;
use utoipa::ToSchema;

use super::{blob_address, moment, thumbnail_address};
use crate::error::ApiError;

/// A dataset version in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct DatasetVersionSummary {
    /// The dataset's name.
    #[schema(example = "land")]
    pub(crate) name: String,
    /// The version's number.
    pub(crate) version: u32,
    /// What names it: `name@v1`.
    #[schema(example = "land@v1")]
    pub(crate) reference: String,
    /// BLAKE3 identity.
    pub(crate) digest: String,
    /// Class names.
    pub(crate) classes: Vec<String>,
    /// How many pictures.
    pub(crate) image_count: u64,
    /// Their bytes.
    pub(crate) byte_count: u64,
    /// Where it was imported from.
    pub(crate) source: String,
    /// When it was imported (RFC 3339).
    pub(crate) created_at: String,
}

/// All dataset versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct DatasetList {
    /// By name, newest first within a name.
    pub(crate) datasets: Vec<DatasetVersionSummary>,
}

/// Everything about a dataset version.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct DatasetDetail {
    /// The version as in a list.
    #[serde(flatten)]
    pub(crate) summary: DatasetVersionSummary,
    /// All versions of the dataset, newest first, as `name@v1`.
    pub(crate) versions: Vec<String>,
    /// Pictures of each split.
    pub(crate) splits: SplitCounts,
    /// Pictures of each class and split.
    pub(crate) counts: Vec<SplitCounts>,
    /// Where a picture may have several labels: those that have none, by split. Absent where each
    /// has one class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unlabelled: Option<SplitCounts>,
    /// Some pictures of each class.
    pub(crate) samples: Vec<SamplePicture>,
    /// Sizes, modes, formats and colours.
    #[schema(value_type = Object)]
    pub(crate) statistics: serde_json::Value,
    /// Files that the import left out, by reason.
    #[schema(value_type = Vec<Object>)]
    pub(crate) skipped: serde_json::Value,
    /// How the import understood the folder.
    pub(crate) notes: Vec<String>,
    /// What the user should know.
    pub(crate) warnings: Vec<String>,
}

/// Pictures of each split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct SplitCounts {
    /// The class's name, `all` for all classes.
    pub(crate) class: String,
    /// In the training split.
    pub(crate) train: u64,
    /// In the validation split.
    pub(crate) val: u64,
    /// In the test split.
    pub(crate) test: u64,
    /// In all splits.
    pub(crate) total: u64,
}

/// A picture of a dataset version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct SamplePicture {
    /// Its class.
    pub(crate) class: String,
    /// Its split.
    pub(crate) split: String,
    /// Path below the imported folder.
    pub(crate) path: String,
    /// Address of the picture.
    pub(crate) picture: String,
    /// Address of a small version of it.
    pub(crate) thumbnail: String,
    /// Width in pixels.
    pub(crate) width: u32,
    /// Height in pixels.
    pub(crate) height: u32,
}

impl DatasetVersionSummary {
    pub(crate) fn new(version: DatasetVersion) -> Self {
        Self {
            reference: version.reference().to_string(),
            name: version.name,
            version: version.version,
            digest: version.digest.to_string(),
            classes: version.classes,
            image_count: version.image_count,
            byte_count: version.byte_count,
            source: version.source,
            created_at: moment(version.created_at),
        }
    }
}

impl DatasetList {
    pub(crate) async fn load(store: &Store) -> Result<Self, ApiError> {
        let versions = store.dataset_versions().await?;
        Ok(Self {
            datasets: versions
                .into_iter()
                .map(DatasetVersionSummary::new)
                .collect(),
        })
    }
}

impl SplitCounts {
    fn new(counts: &ClassCounts) -> Self {
        Self {
            class: counts.class.clone(),
            train: counts.train,
            val: counts.val,
            test: counts.test,
            total: counts.total(),
        }
    }
}

impl DatasetDetail {
    pub(crate) async fn load(store: &Store, version: DatasetVersion) -> Result<Self, ApiError> {
        let versions = store
            .dataset_versions()
            .await?
            .into_iter()
            .filter(|other| other.name == version.name)
            .map(|other| other.reference().to_string())
            .collect();
        let (store, wanted) = (store.clone(), version.clone());
        let found = tokio::task::spawn_blocking(move || summary(&store, &wanted))
            .await
            .map_err(ApiError::internal)?
            .map_err(ApiError::internal)?;
        Ok(Self {
            summary: DatasetVersionSummary::new(version),
            versions,
            splits: SplitCounts::new(&found.splits),
            counts: found.classes.iter().map(SplitCounts::new).collect(),
            unlabelled: found.unlabelled.as_ref().map(SplitCounts::new),
            samples: found
                .samples
                .iter()
                .flat_map(|class| class.images.iter().map(|image| (&class.class, image)))
                .map(|(class, image)| SamplePicture {
                    class: class.clone(),
                    split: image.split.to_string(),
                    path: image.path.clone(),
                    picture: blob_address(&image.digest),
                    thumbnail: thumbnail_address(&image.digest),
                    width: image.width,
                    height: image.height,
                })
                .collect(),
            statistics: serde_json::to_value(&found.statistics).map_err(ApiError::internal)?,
            skipped: serde_json::to_value(&found.skipped).map_err(ApiError::internal)?,
            notes: found.notes,
            warnings: found.warnings,
        })
    }
}

//! Example pictures for the start page: some of those that the model was tested on.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use ferrotype_core::id::ModelVersionId;

use crate::serving::models::LoadedModel;
use crate::state::AppState;
use crate::views::dataset::{DatasetDetail, SamplePicture};

/// Pictures shown at most.
const MOST_EXAMPLES: usize = 12;

/// The examples of the model that was shown last: finding them reads the dataset's whole manifest.
#[derive(Debug, Default)]
pub(crate) struct Examples(Mutex<Option<(ModelVersionId, Vec<SamplePicture>)>>);

impl Examples {
    /// Pictures for a model; none when its dataset is not in the store.
    pub(crate) async fn of(&self, state: &AppState, model: &LoadedModel) -> Vec<SamplePicture> {
        let version = &model.version;
        let known = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some((_, pictures)) = known.filter(|(id, _)| *id == version.id) {
            return pictures;
        }
        let dataset = version.manifest.dataset_version.as_deref();
        let pictures = match dataset {
            Some(dataset) => load(state, dataset).await.unwrap_or_default(),
            None => Vec::new(),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((version.id, pictures.clone()));
        pictures
    }
}

async fn load(state: &AppState, dataset: &str) -> Option<Vec<SamplePicture>> {
    let version = state
        .store
        .dataset_version(&dataset.parse().ok()?)
        .await
        .ok()?;
    let detail = DatasetDetail::load(&state.store, version).await.ok()?;
    Some(choose(detail.samples))
}

/// Classes in turn, the pictures that the model has not learnt from first. A picture with several
/// labels is a sample of each, and shown once.
fn choose(samples: Vec<SamplePicture>) -> Vec<SamplePicture> {
    let mut taken_of_class: Vec<(String, usize)> = Vec::new();
    let mut ranked: Vec<(usize, SamplePicture)> = Vec::new();
    let (unseen, seen): (Vec<_>, Vec<_>) = samples
        .into_iter()
        .partition(|sample| sample.split == "test");
    for sample in unseen.into_iter().chain(seen) {
        let turn = match taken_of_class
            .iter_mut()
            .find(|(class, _)| *class == sample.class)
        {
            Some((_, taken)) => {
                *taken += 1;
                *taken
            }
            None => {
                taken_of_class.push((sample.class.clone(), 0));
                0
            }
        };
        ranked.push((turn, sample));
    }
    ranked.sort_by_key(|(turn, _)| *turn);
    let mut shown = HashSet::new();
    ranked
        .into_iter()
        .map(|(_, sample)| sample)
        .filter(|sample| shown.insert(sample.path.clone()))
        .take(MOST_EXAMPLES)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(class: &str, split: &str, path: &str) -> SamplePicture {
        SamplePicture {
            class: class.into(),
            split: split.into(),
            path: path.into(),
            picture: String::new(),
            thumbnail: String::new(),
            width: 1,
            height: 1,
        }
    }

    fn paths_chosen(samples: Vec<SamplePicture>) -> Vec<String> {
        let chosen = choose(samples);
        chosen.into_iter().map(|sample| sample.path).collect()
    }

    #[test]
    fn a_picture_with_several_labels_is_shown_once() {
        let chosen = paths_chosen(vec![
            sample("a", "test", "both"),
            sample("b", "test", "both"),
            sample("b", "test", "only b"),
        ]);
        assert_eq!(chosen, ["both", "only b"]);
    }

    #[test]
    fn examples_are_of_all_classes_in_turn_and_unseen_ones_first() {
        let chosen = paths_chosen(vec![
            sample("a", "train", "a/train"),
            sample("a", "test", "a/test"),
            sample("b", "train", "b/train"),
        ]);
        assert_eq!(chosen, ["a/test", "b/train", "a/train"]);
    }
}

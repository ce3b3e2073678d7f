//! What every result store promises ([`mnistq::store::ResultStore`]), asked of each implementation.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use mnistq::job::{Failure, FailureCode, JobId, ModelName, Outcome, Prediction, Timings};
use mnistq::store::outbox::Outbox;
use mnistq::store::{Claim, Entry, Finished, First, Reservation, ResultStore};

use crate::harness::{eventually, stays_pending, within};

mod deadlines;
mod lifetimes;
mod outbox;
mod outcomes;
pub mod redis;
pub mod sqlite;
mod waiting;

const LONG: Duration = Duration::from_secs(3_600);
const SHORT: Duration = Duration::from_millis(50);

/// Results of one implementation, none at first.
pub trait Results: Sized + Sync {
    /// Fresh results.
    async fn fresh() -> Self;

    /// Other results, none at first: in the same place, where one holds several.
    async fn beside(&self) -> Self;

    /// A store for these results, as another process would open it.
    async fn open(&self) -> Arc<dyn ResultStore>;

    /// The ordered calls beside these results, as another process would open them.
    async fn open_outbox(&self) -> Arc<dyn Outbox>;
}

/// Makes one test of each promise for each implementation.
macro_rules! contract {
    ($($part:ident { $($promise:ident,)+ })+) => {
        mod on_sqlite {
            $($(
                #[tokio::test]
                async fn $promise() {
                    super::$part::$promise::<super::sqlite::SqliteResults>().await;
                }
            )+)+
        }

        mod on_redis {
            $($(
                #[tokio::test]
                async fn $promise() {
                    super::$part::$promise::<super::redis::RedisResults>().await;
                }
            )+)+
        }
    };
}

contract! {
    outcomes {
        an_unknown_job_is_unknown,
        a_reserved_job_is_queued,
        a_reservation_may_be_repeated,
        a_released_job_is_unknown,
        every_kind_of_outcome_reads_as_it_was_stored,
        an_outcome_needs_no_reservation,
        the_first_claim_of_a_key_holds,
        a_claim_is_kept_for_its_time_to_live,
        the_first_outcome_wins_and_later_ones_count_as_success,
        of_many_outcomes_at_once_every_reader_sees_the_same,
        a_batch_is_answered_in_order,
        a_batch_may_name_a_job_twice,
        an_empty_batch_is_stored,
        a_late_reservation_does_not_hide_an_outcome,
        a_late_release_does_not_hide_an_outcome,
        the_owner_of_a_job_is_known_as_long_as_its_outcome,
        a_released_or_erased_job_has_no_owner,
    }
    lifetimes {
        an_outcome_is_kept_for_its_time_to_live,
        a_reservation_is_kept_for_its_time_to_live,
        an_outcome_past_its_time_does_not_read_as_queued,
        an_erased_job_is_unknown,
        outcomes_survive_the_end_of_every_process,
        stores_with_other_prefixes_are_apart,
        a_reachable_store_is_ready,
    }
    deadlines {
        a_job_that_is_not_finished_by_its_deadline_has_expired,
        an_answer_after_the_deadline_changes_nothing,
        an_answer_before_the_deadline_stays,
        a_wait_ends_with_the_deadline,
        many_jobs_are_looked_up_in_order,
    }
    outbox {
        a_call_is_due_at_once_and_taken_by_one,
        a_call_that_nobody_settles_is_due_again,
        a_settled_call_is_gone,
        a_postponed_call_is_due_later_and_as_it_was_left,
        a_second_order_for_a_job_changes_nothing,
        of_many_calls_each_is_taken_once,
    }
    waiting {
        waiting_ends_at_once_when_there_is_nothing_to_wait_for,
        waiting_ends_when_another_process_finishes_the_job,
        waiting_ends_as_queued_at_its_limit,
        who_only_listens_hears_what_is_finished_later,
        who_listens_in_vain_is_told_at_the_limit,
        a_cancelled_wait_harms_nobody,
        a_thousand_waiters_each_get_their_own_outcome,
        many_may_wait_for_one_job,
    }
}

/// An answer with numbers that a careless text form would change.
fn succeeded(class: u16) -> Outcome {
    let mut probabilities = vec![0.0_f32; 10];
    probabilities[usize::from(class) % 10] = 1.0 - f32::EPSILON;
    probabilities[usize::from(class + 1) % 10] = 1.0e-38;
    probabilities[usize::from(class + 2) % 10] = 1.0 / 3.0;
    Outcome::Succeeded(Prediction {
        predicted_class: class,
        probabilities,
        model: ModelName {
            name: "mnistnet".to_owned(),
            weights_sha256: "ff7bcfd4".to_owned(),
        },
        worker: "worker-1".to_owned(),
        device: "cpu".to_owned(),
        batch_size: 64,
        timings: Timings::default(),
    })
}

fn finished(outcome: Outcome, ttl: Duration) -> Finished {
    Finished {
        id: JobId::issue(),
        outcome,
        ttl,
    }
}

async fn finish(store: &Arc<dyn ResultStore>, id: JobId, outcome: &Outcome) {
    let finished = Finished {
        id,
        outcome: outcome.clone(),
        ttl: LONG,
    };
    let answers = store.finish(&[finished]).await;
    assert_eq!(answers.len(), 1);
    for answer in answers {
        answer.unwrap();
    }
}

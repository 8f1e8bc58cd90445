//! What a few processes show in `file_fleet` and `file_processes`, with many. Run by scripts/test.

use std::time::Duration;

use super::{file_fleet, file_processes};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "fifty processes"]
async fn fifty_processes_make_one_token_request() {
    file_fleet::make_one_token_request(50).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "eighty processes"]
async fn holders_of_the_lease_are_killed_at_twenty_moments() {
    file_fleet::kill_holders(20).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute"]
async fn eight_processes_with_traffic_renew_one_token_for_a_minute() {
    file_fleet::have_traffic(8, Duration::from_secs(60)).await;
}

#[tokio::test]
#[ignore = "fifty processes"]
async fn fifty_processes_lose_no_change() {
    file_processes::lose_no_change(50).await;
}

#[tokio::test]
#[ignore = "a hundred processes"]
async fn writers_are_killed_at_a_hundred_moments() {
    file_processes::kill_writers(100).await;
}

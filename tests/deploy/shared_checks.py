"""What manifests that are tested by themselves have in common with all others: the same tests check them."""

from tests.deploy import test_pods, test_references, test_rendering

OF_EVERY_POD = (
    test_pods.test_container_takes_no_port_of_its_node,
    test_pods.test_volumes_are_kinds_that_restricted_allows,
    test_pods.test_every_empty_dir_is_bounded,
    test_pods.test_empty_dirs_fit_into_the_containers_limits,
    test_pods.test_requests_and_limits_are_stated_and_meet,
    test_pods.test_service_links_would_be_taken_for_settings,
    test_pods.test_the_driver_alone_has_a_token_for_the_api_server,
    test_pods.test_why_a_pod_ended_is_kept_with_it,
    test_pods.test_tmp_can_be_written_to,
    test_references.test_volumes_and_mounts_are_the_same,
    test_rendering.test_every_pod_says_what_it_is,
)
OF_EVERY_RENDERING = (
    test_rendering.test_nothing_is_there_twice,
    test_rendering.test_everything_is_in_the_namespace,
    test_rendering.test_everything_is_labelled_as_a_part_of_fovea,
    test_rendering.test_manifests_follow_the_schemas_of_the_operators,
    test_references.test_no_secret_is_in_the_manifests,
)

from spine_node.evaluation.cases import STRESS_SEED, TEMPLATE_SEED, TEST_SEED
from spine_node.training.streams import TRAIN_SEED, VALIDATION_SEED


def test_no_seed_of_a_test_is_one_of_training():
    assert TRAIN_SEED < VALIDATION_SEED < TEST_SEED < STRESS_SEED < TEMPLATE_SEED

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Small networks gain nothing from threads, and waiting threads cost a busy machine dearly."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)

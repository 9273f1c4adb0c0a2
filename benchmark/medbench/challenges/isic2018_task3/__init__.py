"""The challenge isic2018_task3."""

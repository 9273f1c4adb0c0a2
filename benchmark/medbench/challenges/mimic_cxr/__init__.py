"""The data set MIMIC-CXR-JPG: pairs of chest radiograph and report, and the challenge of its findings."""

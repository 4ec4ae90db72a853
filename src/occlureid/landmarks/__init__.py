"""A landmark network: trained on rendered worlds, judged on held-out images, and used as a provider of landmarks."""

from occlureid.landmarks.decode import decode_heatmaps
from occlureid.landmarks.provider import LandmarkProvider
from occlureid.landmarks.scores import LandmarkScores, score_landmarks
from occlureid.landmarks.settings import LandmarkRunSettings, LandmarkSettings, small_landmarks
from occlureid.landmarks.train import LandmarkResult, train_landmarks
from occlureid.landmarks.weights import TrainedLandmarks, load_landmarks, save_landmarks
from occlureid.landmarks.worlds import LandmarkDataset, TrueLandmarks, read_landmark_worlds

__all__ = [
    "LandmarkDataset",
    "LandmarkProvider",
    "LandmarkResult",
    "LandmarkRunSettings",
    "LandmarkScores",
    "LandmarkSettings",
    "TrainedLandmarks",
    "TrueLandmarks",
    "decode_heatmaps",
    "load_landmarks",
    "read_landmark_worlds",
    "save_landmarks",
    "score_landmarks",
    "small_landmarks",
    "train_landmarks",
]

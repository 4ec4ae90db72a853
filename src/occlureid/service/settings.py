"""What the service takes at the most, and how it works."""

from __future__ import annotations

from pydantic import Field

from occlureid.config import Settings

__all__ = ["ServiceSettings"]


class ServiceSettings(Settings):
    """Bounds and sizes of the service."""

    request_bytes: int = Field(64 * 2**20, ge=1024)
    """bytes of one request with images"""
    json_bytes: int = Field(2**20, ge=1024)
    """bytes of one request without images"""
    pending_bytes: int = Field(512 * 2**20, ge=1024)
    """bytes of all requests that are under way, and of all jobs that wait, each"""
    image_bytes: int = Field(8 * 2**20, ge=64)
    """bytes of one image"""
    image_pixels: int = Field(16_000_000, ge=64)
    """width times height of one image"""
    images: int = Field(64, ge=1, le=1000)
    """images of one request that adds at once"""
    job_images: int = Field(1000, ge=1, le=10_000)
    """images of one request that adds as a job"""
    jobs: int = Field(16, ge=1)
    """jobs that may wait"""
    receive_seconds: float = Field(60, gt=0)
    """time in which a request must have arrived"""
    answer_seconds: float = Field(60, gt=0)
    """time that a request waits for its turn"""
    batch_seconds: float = Field(0.004, ge=0, le=1)
    """time that a search waits for others to be done with it"""
    batch_queries: int = Field(64, ge=1)
    """searches that are done together"""
    batch_images: int = Field(32, ge=1)
    """images that are described together"""
    queue: int = Field(256, ge=1)
    """searches, and groups of images, that may wait"""
    memory: int = Field(4 * 2**30, ge=1)
    """bytes that the searcher of one gallery may hold"""
    expire_seconds: float = Field(3600, gt=0)
    """time between two looks for items that are older than their gallery keeps them"""
    thumbnail: int = Field(256, ge=16, le=1024)
    """height and width that a thumbnail has at the most"""

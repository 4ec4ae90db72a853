"""The routes that are not about one gallery's content: the page, health, metrics, the list of galleries, jobs."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path as FilePath
from typing import Annotated

from fastapi import Depends, FastAPI, Path, Response
from fastapi.responses import JSONResponse

from occlureid.errors import DataError
from occlureid.service.engine import Engine
from occlureid.service.gate import caller_of, needs
from occlureid.service.metrics import CONTENT_TYPE
from occlureid.service.models import (
    MAX_CROPS,
    MAX_HITS,
    MAX_IDS,
    MAX_PAGE,
    About,
    Count,
    GalleryInfo,
    GalleryList,
    GalleryName,
    GalleryStats,
    Health,
    JobList,
    JobOut,
    Limits,
    NewGallery,
)
from occlureid.service.problems import refuse, said
from occlureid.service.searches import calibration_out, part_names, parts_of
from occlureid.service.shelf import OpenGallery
from occlureid.service.tokens import Caller

__all__ = ["GalleryPath", "Who", "add_routes"]

Who = Annotated[Caller, Depends(caller_of)]
GalleryPath = Annotated[GalleryName, Path(description="The name of the gallery.")]
JobPath = Annotated[str, Path(pattern="^[0-9a-f]{16}$", description="The id of the job.")]

_SCRIPTS = ("", "_boxes", "_compare", "_crops", "_elements", "_gallery", "_hits", "_search", "_service", "_timeline")
_STATIC = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    **{f"/page{theme}.js": (f"page{theme}.js", "text/javascript") for theme in _SCRIPTS},
}


def add_routes(app: FastAPI, engine: Engine) -> None:
    """Adds these routes."""
    _add_page(app)
    _add_about(app, engine)
    _add_galleries(app, engine)
    _add_jobs(app, engine)


def _add_page(app: FastAPI) -> None:
    for path, (name, kind) in _STATIC.items():
        app.get(path, include_in_schema=False, **needs("anyone"))(_static(FilePath(__file__).with_name(name), kind))


def _static(file: FilePath, kind: str) -> Callable[[], Response]:
    content = file.read_bytes() if file.is_file() else None

    def page() -> Response:
        if content is None:
            raise refuse(404, "this installation has no page; the routes below /api work without it")
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    return page


def _add_about(app: FastAPI, engine: Engine) -> None:
    @app.get("/api/health", **needs("anyone"))
    async def health(response: Response) -> Health:
        """Whether the service takes requests: 200, or 503 while it stops."""
        if engine.activity.stopping:
            response.status_code = 503
            return Health(state="stopping")
        return Health(state="ready")

    @app.get("/api/openapi.json", include_in_schema=False, **needs("anyone"))
    async def description() -> JSONResponse:
        return JSONResponse(app.openapi())

    @app.get("/api/metrics", response_class=Response, **needs("search"))
    def metrics() -> Response:
        """Numbers for Prometheus."""
        return Response(engine.metrics.text(), media_type=CONTENT_TYPE)

    @app.get("/api/about", **needs("search"))
    def about(caller: Who) -> About:
        """The service, its limits, and who is asking."""
        settings, describer = engine.settings, engine.describer
        return About(
            version=version("occlureid"),
            name=caller.name,
            role=caller.role,
            method=describer.describer.method.name(),
            fingerprint=describer.fingerprint,
            image_size=list(describer.describer.size),
            parts=part_names(describer.shape.parts, describer.parts),
            limits=Limits(
                request_bytes=settings.request_bytes,
                json_bytes=settings.json_bytes,
                image_bytes=settings.image_bytes,
                image_pixels=settings.image_pixels,
                images=settings.images,
                job_images=settings.job_images,
                crops=MAX_CROPS,
                k=MAX_HITS,
                ids=MAX_IDS,
                page=MAX_PAGE,
            ),
        )


def _add_galleries(app: FastAPI, engine: Engine) -> None:
    @app.get("/api/galleries", **needs("search"))
    def list_galleries() -> GalleryList:
        """All galleries."""
        return GalleryList(galleries=[_info(engine, name) for name in engine.shelf.names()])

    @app.post("/api/galleries", status_code=201, **needs("admin"))
    def create_gallery(new: NewGallery, caller: Who) -> GalleryStats:
        """Makes an empty gallery for the descriptors of the service's weights."""
        return _stats(engine.shelf.create(new.name, retention=new.retention, by=caller.name))

    @app.get("/api/galleries/{gallery}", **needs("search"))
    def describe_gallery(gallery: GalleryPath) -> GalleryStats:
        """A gallery in numbers."""
        return _stats(engine.shelf.get(gallery))

    @app.delete("/api/galleries/{gallery}", **needs("admin"))
    def delete_gallery(gallery: GalleryPath, caller: Who) -> Count:
        """Deletes a gallery with all its items and files, but for its audit log."""
        return Count(count=engine.shelf.delete(gallery, by=caller.name))


def _add_jobs(app: FastAPI, engine: Engine) -> None:
    @app.get("/api/jobs", **needs("add"))
    def list_jobs() -> JobList:
        """The jobs of this process, the newest first."""
        return JobList(jobs=engine.jobs.all())

    @app.get("/api/jobs/{job}", **needs("add"))
    def describe_job(job: JobPath) -> JobOut:
        """How far a job is."""
        return engine.jobs.get(job)

    @app.delete("/api/jobs/{job}", **needs("add"))
    def cancel_job(job: JobPath) -> JobOut:
        """Stops a job after the step that it is in; what it has done stays."""
        return engine.jobs.cancel(job)


def _info(engine: Engine, name: str) -> GalleryInfo:
    try:
        opened = engine.shelf.get(name)
        fits, problem = opened.fits, None
        if not fits:
            problem = f"holds descriptors of {opened.gallery.fingerprint}, which are not the service's weights"
        return GalleryInfo(name=name, items=len(opened.gallery), fits=fits, problem=problem)
    except DataError as error:
        return GalleryInfo(name=name, items=None, fits=False, problem=said(error))


def _stats(opened: OpenGallery) -> GalleryStats:
    with opened.reading() as gallery:
        stats = gallery.stats()
    threshold = opened.calibration.current()
    return GalleryStats(
        name=opened.name,
        fits=opened.fits,
        fingerprint=gallery.fingerprint,
        items=stats.items,
        persons=stats.persons,
        unnamed=stats.unnamed,
        cameras=stats.cameras,
        first=stats.first,
        last=stats.last,
        version=stats.version,
        files=stats.files,
        bytes=stats.bytes,
        sealed=stats.sealed,
        retention=gallery.shape.retention,
        parts=parts_of(opened),
        calibration=calibration_out(threshold.calibration),
        calibration_problem=threshold.problem,
    )

"""The service as an ASGI application.

Routes ("multipart" is multipart/form-data; all else is JSON, in and out; models in ``models`` and
``search_models``)::

    role    method  path                                       request                      answer
    anyone  GET     /                                                                       page.html
    anyone  GET     /page.css, /page.js                                                     beside page.html
    anyone  GET     /page_boxes.js, /page_compare.js                                        modules of page.js
    anyone  GET     /page_crops.js, /page_elements.js                                       modules of page.js
    anyone  GET     /page_gallery.js, /page_hits.js                                         modules of page.js
    anyone  GET     /page_search.js, /page_service.js                                       modules of page.js
    anyone  GET     /page_timeline.js                                                       modules of page.js
    anyone  GET     /api/health                                                             Health (503 while it stops)
    anyone  GET     /api/openapi.json                                                       OpenAPI 3.1
    search  GET     /api/metrics                                                            Prometheus text
    search  GET     /api/about                                                              About
    search  GET     /api/galleries                                                          GalleryList
    admin   POST    /api/galleries                             NewGallery                   201 GalleryStats
    search  GET     /api/galleries/{gallery}                                                GalleryStats
    admin   DELETE  /api/galleries/{gallery}                                                Count (of items)
    search  GET     /api/galleries/{gallery}/items             ?ItemsQuery                  ItemPage
    add     POST    /api/galleries/{gallery}/items             multipart images, fields     Added
    search  GET     /api/galleries/{gallery}/item              ?id=                         ItemOut
    search  GET     /api/galleries/{gallery}/thumbnail         ?id=                         image/jpeg, 404 without one
    add     POST    /api/galleries/{gallery}/remove            Ids                          TakenOut
    admin   POST    /api/galleries/{gallery}/erase             EraseRequest                 TakenOut
    admin   POST    /api/galleries/{gallery}/expire            ExpireQuery                  Expired
    search  POST    /api/galleries/{gallery}/search/images     multipart images, query      Answer
    search  POST    /api/galleries/{gallery}/search/items      SearchByItems                Answer
    search  POST    /api/galleries/{gallery}/search/descriptor SearchByDescriptor           Answer
    search  POST    /api/galleries/{gallery}/explain           ExplainRequest               Explanation
    admin   GET     /api/galleries/{gallery}/audit             ?AuditQuery                  AuditPage
    add     POST    /api/galleries/{gallery}/jobs/add          multipart images, fields     202 JobOut
    admin   POST    /api/galleries/{gallery}/jobs/compact                                   202 JobOut
    add     GET     /api/jobs                                                               JobList
    add     GET     /api/jobs/{job}                                                         JobOut
    add     DELETE  /api/jobs/{job}                            (cancel)                     JobOut

Multipart: ``images`` is one file or several; ``fields`` is a JSON list of CropFields, one an image; ``query`` is a JSON object
SearchByImages (may be left out). Every answer that is no success is a Problem: {"detail": text}.

A token goes into the header ``Authorization: Bearer ...``. Without a token file the service listens on loopback only and
whoever asks is ``local`` with the role admin. 401: no token or an unknown one; 403: its role is too low; 429 and 503: try again.

The page: / and /page*.* are static files beside this one, served under a Content-Security-Policy without anything
inline: scripts from 'self', styles from 'self' (a style attribute in HTML does not work, ``element.style`` from a script
does), images from 'self', blob: and data:, requests to 'self' alone. Thumbnails need the token in a header: fetch them and show
a blob. Nothing may be cached but the static files, and those are asked for anew each time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from occlureid.service.engine import Engine
from occlureid.service.front import Front
from occlureid.service.gate import Gate, guarded_routes
from occlureid.service.models import CropFields, Problem
from occlureid.service.problems import add_handlers
from occlureid.service.routes import add_routes
from occlureid.service.routes_content import add_content_routes
from occlureid.service.search_models import SearchByImages

__all__ = ["create_app"]


def create_app(engine: Engine) -> FastAPI:
    """The application; its lifespan starts and closes the engine.

    Args:
        engine: what it works with.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        engine.start()
        yield
        engine.close()

    app = FastAPI(
        title="occlureid",
        version=version("occlureid"),
        description="Galleries of people, searched by what both images show.",
        openapi_url=None,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.router.route_class = guarded_routes(Gate(engine.settings, engine.tokens, engine.hosts))
    add_handlers(app)
    add_routes(app, engine)
    add_content_routes(app, engine)
    app.add_middleware(Front, metrics=engine.metrics, activity=engine.activity)
    _describe(app, engine.tokens is not None)
    return app


def _describe(app: FastAPI, tokens: bool) -> None:
    """Makes the OpenAPI description: FastAPI's, and what it does not see: tokens, problems, the JSON beside uploads."""
    made: list[dict[str, Any]] = []

    def description() -> dict[str, Any]:
        if not made:
            content = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            schemas = content.setdefault("components", {}).setdefault("schemas", {})
            for model in (Problem, CropFields, SearchByImages):
                schemas[model.__name__] = model.model_json_schema()
            if tokens:
                content["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            else:
                for operation in (one for path in content["paths"].values() for one in path.values()):
                    operation.pop("security", None)
            made.append(content)
        return made[0]

    app.openapi = description  # type: ignore[method-assign]

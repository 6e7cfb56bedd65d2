"""What a lesson does in places that CI does not have: with a network, with a folder of photographs."""

import nbformat
import torch
from PIL import Image
from torchvision import models as torchvision_models

from tlcourse.course import course_root
from tlcourse.course.run import execute


def printed(notebook, id):
    (cell,) = [cell for cell in notebook.cells if cell.id == id]
    return "".join(output.get("text", "") for output in cell.outputs)


def test_the_online_cells_of_lesson_02_work_with_weights_of_the_right_shape(tmp_path, monkeypatch):
    weights = torchvision_models.ResNet18_Weights.IMAGENET1K_V1
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.save(torchvision_models.resnet18(weights=None).state_dict(), cache / weights.url.rsplit("/", 1)[1])
    for name in ("cats/1.jpg", "cats/2.jpg", "dogs/1.jpg", "dogs/2.jpg"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((90, 120), 50).convert("RGB").save(path)
    for name, value in {
        "TLCOURSE_ONLINE": "1",
        "TLCOURSE_PHOTOS": str(tmp_path / "photos"),
        "TORCH_HOME": str(tmp_path),
        "HOME": str(tmp_path),
        "https_proxy": "http://127.0.0.1:9",  # nothing else comes in, wherever this runs
        "http_proxy": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    lesson = nbformat.read(course_root() / "notebooks" / "02_pretrained_models.ipynb", as_version=4)
    needed = ("setup", "first-imports", "neighbours", "online-digits", "online-folder", "online-fashion")
    lesson.cells = [cell for cell in lesson.cells if cell.id in needed]
    stand_in = "from torchvision import models as torchvision_models\nletters = models.load('letters')"
    lesson.cells.insert(2, nbformat.v4.new_code_cell(stand_in))
    nbformat.write(lesson, tmp_path / "online.ipynb")

    execution, done = execute(tmp_path / "online.ipynb")
    assert execution.error is None
    assert "ImageNet features, 5 labels a class: 0." in printed(done, "online-digits")
    assert "4 photographs of cats, dogs" in printed(done, "online-folder")
    assert printed(done, "online-fashion").startswith("Skipped: 'fashion' is not in")


def test_every_online_cell_says_what_it_skips():
    for path in sorted((course_root() / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if "online" in cell.metadata.get("tags", []):
                assert "if ONLINE" in cell.source and 'print("Skipped:' in cell.source, cell.id

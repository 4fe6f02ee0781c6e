"""A Cinder back end that stores nothing; runs inside cinder-volume."""

from cinder.volume import driver

CAPACITY_GIB = 10000


class NullDriver(driver.VolumeDriver):
    """Says yes to everything. clone_image() does too, so Cinder never calls qemu-img, which need not be installed."""

    VERSION = "1.0"

    def check_for_setup_error(self):
        """Nothing can be wrong."""

    def _update_volume_stats(self):
        self._stats = {
            "volume_backend_name": self.configuration.safe_get("volume_backend_name"),
            "vendor_name": "devcloud",
            "driver_version": self.VERSION,
            "storage_protocol": "iSCSI",
            "total_capacity_gb": CAPACITY_GIB,
            "free_capacity_gb": CAPACITY_GIB,
            "reserved_percentage": 0,
            "thin_provisioning_support": True,
            "max_over_subscription_ratio": 20.0,
            "multiattach": True,
        }

    def create_volume(self, volume):
        return {}

    def create_volume_from_snapshot(self, volume, snapshot):
        return {}

    def create_cloned_volume(self, volume, src_vref):
        return {}

    def clone_image(self, context, volume, image_location, image_meta, image_service):
        return {}, True

    def copy_volume_to_image(self, context, volume, image_service, image_meta):
        """Leaves some bytes, so that the image becomes active."""
        content = f"devcloud volume {volume['id']}\n".encode()
        image_service.update(
            context, image_meta["id"], {"disk_format": "raw", "container_format": "bare"}, iter([content])
        )

    def delete_volume(self, volume):
        pass

    def extend_volume(self, volume, new_size):
        pass

    def retype(self, context, volume, new_type, diff, host):
        return True, None

    def create_snapshot(self, snapshot):
        return {}

    def delete_snapshot(self, snapshot):
        pass

    def revert_to_snapshot(self, context, volume, snapshot):
        pass

    def ensure_export(self, context, volume):
        pass

    def create_export(self, context, volume, connector):
        return {}

    def remove_export(self, context, volume):
        pass

    def initialize_connection(self, volume, connector):
        return {
            "driver_volume_type": "iscsi",
            "data": {
                "target_discovered": False,
                "target_iqn": f"iqn.2010-10.org.openstack:{volume['name']}",
                "target_portal": "127.0.0.1:3260",
                "target_lun": 1,
                "volume_id": volume["id"],
                "access_mode": "rw",
            },
        }

    def terminate_connection(self, volume, connector, **kwargs):
        pass
